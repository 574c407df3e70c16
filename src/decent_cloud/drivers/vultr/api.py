"""The calls this driver makes to Vultr, and what its errors mean; they have texts and no codes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    DriverError,
    NoCapacity,
    Rejected,
    Secret,
    TryLater,
)
from decent_cloud.drivers.parts.rate_budget import RateBudget
from decent_cloud.drivers.parts.rest import Answered, Query, RestClient, judge_by_status
from decent_cloud.drivers.parts.rest_answers import (
    ListPage,
    Record,
    is_missing,
    record,
    records,
    whole_list,
)

_PER_PAGE = 500
_BUSY_AFTER_S = 10
_YOUNG_AFTER_S = 60
# Vultr does not say which right a key lacks; these are what each call needs.
_RIGHTS = (
    ("GET", r"/instances", "subscriptions_view"),
    ("POST", r"/instances$", "provisioning"),
    ("POST", r"/instances/", "subscriptions"),
    ("DELETE", r"/instances/", "subscriptions"),
)
RIGHTS = ("subscriptions_view", "subscriptions", "provisioning")
_NO_ROOM = re.compile(
    r"sold out|out of stock|not available|unavailable|not enough|maximum (number|limit)"
    r"|limit (reached|exceeded)|insufficient (funds|balance)",
    re.IGNORECASE,
)
_BUSY = re.compile(r"locked|in progress|try again", re.IGNORECASE)
_YOUNG = re.compile(r"within \d+ minutes of being created", re.IGNORECASE)
_ADDRESS = re.compile(r"unauthorized ip", re.IGNORECASE)


def judge(answered: Answered) -> DriverError:
    """Turn a refusal into one of the contract's errors, with the vendor's own words."""
    text = _text(answered)
    said = f"Vultr refuses {answered.method} {answered.path}: {answered.status}"
    said = f"{said} ({text})" if text else said
    if answered.status == 401 and _ADDRESS.search(text):
        return AuthFailed(f"{said}; allow this host's address in the key's access control")
    if answered.status == 401:
        return AuthFailed(f"{said}; the API key is wrong or switched off")
    if answered.status == 403:
        return AuthFailed(f"{said}; the key's user needs {_right_of(answered)}")
    if _YOUNG.search(text):
        return TryLater(said, after_s=_YOUNG_AFTER_S)
    ordering = (answered.method, answered.path) == ("POST", "/instances")
    if ordering and answered.status not in {429, 502, 503, 504} and _NO_ROOM.search(text):
        return NoCapacity(said)
    by_status = judge_by_status(answered)
    if by_status is not None:
        return by_status
    if not text:
        return Broken(f"{said} without Vultr's words", status=answered.status)
    if _BUSY.search(text):
        return TryLater(said, after_s=_BUSY_AFTER_S)
    return Rejected(said)


class VultrApi:
    """One account behind one key; every call may raise the contract's five errors."""

    def __init__(
        self,
        origin: str,
        token: Secret,
        timeout_s: float,
        budget: RateBudget,
    ) -> None:
        self._rest = RestClient(
            origin,
            judge,
            headers={"Authorization": f"Bearer {token.reveal()}"},
            timeout_s=timeout_s,
            budget=budget,
        )

    def close(self) -> None:
        """Release connections."""
        self._rest.close()

    def account(self) -> Record:
        """Read who we are and which rights the key has."""
        account = record(self._rest.get("/account"), "account")
        if not account.get("email"):
            raise Broken("the answer to GET /account lacks the account's mail address")
        return account

    def instance(self, instance: str) -> Record | None:
        """Read one instance, None if the account has none with this id."""
        answered = self._rest.get(f"/instances/{instance}", allow=(404,))
        return None if _missing(answered) else record(answered, "instance")

    def instances(self, label: str = "") -> list[Record]:
        """List all instances, or those of a label; all pages."""
        return self._all("/instances", "instances", {"label": label} if label else {})

    def order(self, body: Mapping[str, Any]) -> Record:
        """Order an instance. Never send it again without a look-up: labels are not unique."""
        return record(self._rest.call("POST", "/instances", body=body), "instance")

    def delete(self, instance: str) -> None:
        """Ask for an instance's removal; one that is gone is fine."""
        _missing(self._rest.call("DELETE", f"/instances/{instance}", allow=(404,)))

    def switch(self, instance: str, *, on: bool) -> None:
        """Switch the power on or off; an instance that is gone is fine."""
        path = f"/instances/{instance}/{'start' if on else 'halt'}"
        _missing(self._rest.call("POST", path, allow=(404,)))

    def bandwidth(self, instance: str) -> dict[str, Record] | None:
        """Read an instance's traffic by day (UTC, `2026-10-31`), None if it is gone."""
        answered = self._rest.get(f"/instances/{instance}/bandwidth", allow=(404,))
        return None if _missing(answered) else record(answered, "bandwidth")

    def plans(self) -> list[Record]:
        """List all plans."""
        return self._all("/plans", "plans", {})

    def systems(self) -> list[Record]:
        """List all operating systems."""
        return self._all("/os", "os", {})

    def regions(self) -> list[Record]:
        """List all regions."""
        return self._all("/regions", "regions", {})

    def in_stock(self, region: str) -> frozenset[str]:
        """Return the plans that can be ordered in a region now, with a public address."""
        answered = self._rest.get(f"/regions/{region}/availability")
        body = answered.body
        if not isinstance(body, dict) or not isinstance(body.get("available_plans"), list):
            raise Broken(f"the answer to GET {answered.path} lacks 'available_plans'")
        return frozenset(map(str, body["available_plans"]))

    def _all(self, path: str, key: str, query: Query) -> list[Record]:
        def pages() -> Iterator[ListPage]:
            cursor: dict[str, str] = {}
            while True:
                answered = self._rest.get(path, {**query, "per_page": _PER_PAGE, **cursor})
                meta = answered.body["meta"]
                yield ListPage(records(answered, key), meta["total"])
                following = (meta.get("links") or {}).get("next") or ""
                if not following:
                    return
                cursor = {"cursor": str(following)}

        return whole_list(path, pages)


def _missing(answered: Answered) -> bool:
    return is_missing(answered, "Vultr", vendors_word=bool(_text(answered)))


def _right_of(answered: Answered) -> str:
    for method, path, right in _RIGHTS:
        if method == answered.method and re.match(path, answered.path):
            return f"the right {right}"
    return "more rights"


def _text(answered: Answered) -> str:
    body = answered.body
    return str(body.get("error", ""))[:300] if isinstance(body, dict) else ""
