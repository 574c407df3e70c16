"""The calls this driver makes to DigitalOcean, and what its errors mean."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
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
from decent_cloud.drivers.parts.rate_budget import RateBudget, RateHeaders
from decent_cloud.drivers.parts.rest import Answered, Query, RestClient, judge_by_status
from decent_cloud.drivers.parts.rest_answers import (
    ListPage,
    Record,
    is_missing,
    record,
    records,
    whole_list,
)
from decent_cloud.kernel.clock import Clock

RATE = RateHeaders("ratelimit-remaining", "ratelimit-reset")
_PER_PAGE = 200
_BUSY_AFTER_S = 5
# No account will ever have it: what is asked of it can only be refused, for rights or as not found.
_NOBODY = 9_007_199_254_740_991
# DigitalOcean does not say which permission a token lacks; these are what each call needs.
_SCOPES = (
    ("GET", r"/v2/account$", "account:read"),
    ("GET", r"/v2/account/keys$", "ssh_key:read"),
    ("POST", r"/v2/account/keys$", "ssh_key:create"),
    ("GET", r"/v2/sizes$", "sizes:read and regions:read"),
    ("GET", r"/v2/regions$", "regions:read"),
    ("GET", r"/v2/images/", "image:read"),
    ("GET", r"/v2/droplets", "droplet:read and tag:read"),
    ("POST", r"/v2/droplets$", "droplet:create, tag:create and image:read"),
    ("POST", r"/v2/droplets/\d+/actions$", "droplet:update"),
    ("DELETE", r"/v2/droplets/\d+$", "droplet:delete"),
)
# The same code stands for what is wrong for ever and for what is not to be had now.
_NO_ROOM = re.compile(
    r"droplet limit|not available|unavailable|sold out|out of stock|restricted", re.IGNORECASE
)
_BUSY = re.compile(r"pending event|is (currently )?locked", re.IGNORECASE)


def judge(answered: Answered) -> DriverError:
    """Turn a refusal into one of the contract's errors, with the vendor's own words."""
    code, message = _said(answered, "id"), _said(answered, "message")
    said = f"DigitalOcean refuses {answered.method} {answered.path}: {code or answered.status}"
    said = f"{said} ({message})" if message else said
    if answered.status == 401:
        return AuthFailed(f"{said}; the token is wrong or revoked", vendor_code=code)
    if answered.status == 403:
        return AuthFailed(f"{said}; the token needs {_scope_of(answered)}", vendor_code=code)
    by_status = judge_by_status(answered)
    if by_status is not None:
        return by_status
    if not code:
        return Broken(f"{said} without DigitalOcean's words", status=answered.status)
    if _BUSY.search(message):
        return TryLater(said, after_s=_BUSY_AFTER_S, vendor_code=code)
    if answered.status == 422 and _NO_ROOM.search(message):
        return NoCapacity(said, vendor_code=code)
    return Rejected(said, vendor_code=code)


class DigitalOceanApi:
    """One account behind one token; every call may raise the contract's five errors."""

    def __init__(
        self,
        origin: str,
        token: Secret,
        timeout_s: float,
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rest = RestClient(
            origin,
            judge,
            headers={"Authorization": f"Bearer {token.reveal()}"},
            timeout_s=timeout_s,
            budget=RateBudget(RATE, clock=clock, sleep=pause),
        )

    def close(self) -> None:
        """Release connections."""
        self._rest.close()

    def account(self) -> Record:
        """Read who we are."""
        account = record(self._rest.get("/v2/account"), "account")
        if not account.get("uuid"):
            raise Broken("the answer to GET /v2/account lacks the account's uuid")
        return account

    def droplet(self, droplet: str) -> Record | None:
        """Read one droplet, None if the account has none with this id."""
        answered = self._rest.get(f"/v2/droplets/{droplet}", allow=(404,))
        return None if _missing(answered) else record(answered, "droplet")

    def tagged(self, tag: str) -> list[Record]:
        """List the droplets that carry a tag, all pages. Errors: AuthFailed if tags are hidden from us."""
        found = self._all("/v2/droplets", "droplets", {"tag_name": tag})
        if any(tag not in map(str.lower, each.get("tags") or ()) for each in found):
            raise AuthFailed("the token may not read tags; it needs tag:read", scope="tag:read")
        return found

    def named(self, name: str) -> list[Record]:
        """List the droplets of a name; any number may have it."""
        return self._all("/v2/droplets", "droplets", {"name": name})

    def order(self, body: Mapping[str, Any]) -> Record:
        """Order a droplet. Never send it again without a look-up: names are not unique."""
        return record(self._rest.call("POST", "/v2/droplets", body=body), "droplet")

    def delete(self, droplet: str) -> None:
        """Ask for a droplet's removal; one that is gone is fine."""
        answered = self._rest.call("DELETE", f"/v2/droplets/{droplet}", allow=(404,))
        _missing(answered)

    def act(self, droplet: str, kind: str) -> None:
        """Start an action on a droplet, such as `power_on`; one that is gone is fine."""
        path = f"/v2/droplets/{droplet}/actions"
        answered = self._rest.call("POST", path, body={"type": kind}, allow=(404,))
        _missing(answered)

    def last_action(self, droplet: str) -> Record | None:
        """Read the newest of a droplet's actions, None if there is none."""
        answered = self._rest.get(
            f"/v2/droplets/{droplet}/actions", {"per_page": _PER_PAGE}, allow=(404,)
        )
        if _missing(answered):
            return None
        actions = records(answered, "actions")
        return max(actions, key=lambda each: int(each["id"]), default=None)

    def key_named(self, name: str) -> Record | None:
        """Find an SSH key object by its name; of several, the oldest."""
        found = self._all("/v2/account/keys", "ssh_keys", {})
        ours = (each for each in found if each["name"] == name)
        return min(ours, key=lambda each: int(each["id"]), default=None)

    def create_key(self, name: str, public_key: str) -> Record:
        """Make an SSH key object; any number may have the name."""
        body = {"name": name, "public_key": public_key}
        return record(self._rest.call("POST", "/v2/account/keys", body=body), "ssh_key")

    def sizes(self) -> list[Record]:
        """List all sizes."""
        return self._all("/v2/sizes", "sizes", {})

    def regions(self) -> list[Record]:
        """List all regions."""
        return self._all("/v2/regions", "regions", {})

    def image(self, word: str) -> Record | None:
        """Read an image by slug or id, None if there is none."""
        answered = self._rest.get(f"/v2/images/{word}", allow=(404,))
        return None if _missing(answered) else record(answered, "image")

    def try_writing(self) -> None:
        """Show that the token may order, switch and delete, by calls that can only be refused.

        Errors: AuthFailed naming the permission that lacks; TryLater.
        """
        nothing = {"name": "dc-probe", "region": "none", "size": "none", "image": "none"}
        tried: tuple[tuple[str, str, Mapping[str, Any] | None], ...] = (
            ("POST", "/v2/droplets", {**nothing, "tags": ["decent-probe"]}),
            ("POST", "/v2/account/keys", {"name": "dc-probe", "public_key": "none"}),
            ("POST", f"/v2/droplets/{_NOBODY}/actions", {"type": "power_on"}),
            ("DELETE", f"/v2/droplets/{_NOBODY}", None),
        )
        for method, path, body in tried:
            try:
                self._rest.call(method, path, body=body)
            except (Rejected, NoCapacity):
                continue

    def _all(self, path: str, key: str, query: Query) -> list[Record]:
        def pages() -> Iterator[ListPage]:
            for page in itertools.count(1):
                asked = {**query, "page": page, "per_page": _PER_PAGE}
                answered = self._rest.get(path, asked)
                yield ListPage(records(answered, key), answered.body["meta"]["total"])
                links = (answered.body.get("links") or {}).get("pages") or {}
                if not links.get("next"):
                    return

        return whole_list(path, pages)


def _missing(answered: Answered) -> bool:
    said = _said(answered, "id") == "not_found"
    return is_missing(answered, "DigitalOcean", vendors_word=said)


def _scope_of(answered: Answered) -> str:
    for method, path, scope in _SCOPES:
        if method == answered.method and re.match(path, answered.path):
            return scope
    return "more permissions"


def _said(answered: Answered, key: str) -> str:
    body = answered.body
    return str(body.get(key, ""))[:300] if isinstance(body, dict) else ""
