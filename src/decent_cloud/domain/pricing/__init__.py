"""What a token is worth: observations, what they agree on, and whether that can be used."""
