"""The typed client of our own API, for the agent and the command line."""
