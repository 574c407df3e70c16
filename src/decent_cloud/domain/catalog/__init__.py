"""Offerings, who may see them and whether they can be rented."""
