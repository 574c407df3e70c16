"""Contracts, terms, assignments and instances: records and lifecycles."""
