"""Ledger accounts, transfers and posting rules."""
