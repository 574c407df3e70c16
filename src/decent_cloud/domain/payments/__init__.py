"""Payments and refunds: records and lifecycles."""
