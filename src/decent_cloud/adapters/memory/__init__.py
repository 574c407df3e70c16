"""The ports kept in dictionaries, for tests that need no file and no server."""
