"""Every route of version 1."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from decent_cloud.http.v1 import (
    accounts,
    agents,
    assignments,
    balances,
    contracts,
    events,
    first_scripts,
    offerings,
    pairing,
    plan_checks,
    platform,
    prices,
    providers,
    resets,
)

ROUTES: tuple[ControllerRouterHandler, ...] = (
    *platform.ROUTES,
    *accounts.ROUTES,
    *providers.ROUTES,
    *pairing.ROUTES,
    *agents.ROUTES,
    *offerings.ROUTES,
    *plan_checks.ROUTES,
    *balances.ROUTES,
    *contracts.ROUTES,
    *assignments.ROUTES,
    *first_scripts.ROUTES,
    *resets.ROUTES,
    *prices.ROUTES,
    *events.ROUTES,
)
