"""A FAKE card processor for development: no real money exists here."""
