"""Steps of the schema: expand, then contract."""
