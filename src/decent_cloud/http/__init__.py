"""The HTTP edge: who is calling, what they may call, how failures look, and version 1 of the API."""
