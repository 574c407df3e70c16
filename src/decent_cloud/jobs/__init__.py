"""Background work: load, decide, apply."""
