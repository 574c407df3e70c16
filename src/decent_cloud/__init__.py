"""Decent Cloud: a marketplace for compute."""
