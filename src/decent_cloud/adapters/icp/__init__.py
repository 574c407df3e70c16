"""The Internet Computer: a thin agent, and ICRC-1 ledgers on top of it."""
