"""Accounts, devices, providers, pools, delegations and agents."""
