"""The ports kept in SQLite or PostgreSQL."""
