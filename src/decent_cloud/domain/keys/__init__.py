"""Devices, chains, signed statements and sealing: the `dcx` key protocol, version 1."""
