"""The HTTP contract as msgspec structs."""
