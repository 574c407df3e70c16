"""Backends that make machines, behind one contract."""
