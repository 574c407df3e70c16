"""Which backends keep their tenants apart too little for strangers, and how that is said to people."""

from __future__ import annotations

TRUSTED_ONLY = "development and trusted tenants only"
_FOR_TRUSTED = frozenset({"sandbox"})


def trusted_only(driver: str) -> bool:
    """Tell whether machines of this driver are for development and trusted tenants only."""
    return driver in _FOR_TRUSTED
