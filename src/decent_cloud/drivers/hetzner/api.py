"""The calls this driver makes to Hetzner Cloud, and what its errors mean."""

from __future__ import annotations

import itertools
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

# Hetzner gives one call back each second, up to 3,600.
RATE = RateHeaders("ratelimit-remaining", "ratelimit-reset", refill_per_s=1.0)
PERMISSION = "the project's API token needs the permission Read & Write"
_PER_PAGE = 50
_POLL_S = 1.0
_LOCKED_AFTER_S = 3
_NO_ROOM = {"resource_unavailable", "resource_limit_exceeded", "placement_error"}
_AUTH = {"unauthorized", "token_readonly", "forbidden"}
_LATER = {"conflict", "locked", "maintenance", "rate_limit_exceeded", "timeout"}


def error_code(answered: Answered) -> str:
    """Return the vendor's word for a refusal, empty where the body has none."""
    return _said(answered, "code")


def judge(answered: Answered) -> DriverError:
    """Turn a refusal into one of the contract's errors, with the vendor's own words."""
    code, message = error_code(answered), _said(answered, "message")
    said = f"Hetzner refuses {answered.method} {answered.path}: {code or answered.status}"
    said = f"{said} ({message})" if message else said
    if code in _AUTH or (answered.status in {401, 403} and code not in _NO_ROOM | _LATER):
        return AuthFailed(f"{said}; {PERMISSION}", vendor_code=code)
    if code in _NO_ROOM:
        return NoCapacity(said, vendor_code=code)
    if code in _LATER:
        after_s = answered.wait_s or _LOCKED_AFTER_S
        return TryLater(said, after_s=after_s, vendor_code=code)
    by_status = judge_by_status(answered)
    if by_status is not None:
        return by_status
    if 400 <= answered.status < 500:
        return Rejected(said, vendor_code=code)
    return Broken(said, status=answered.status)


class HetznerApi:
    """One project behind one token; every call may raise the contract's five errors."""

    def __init__(
        self,
        origin: str,
        token: Secret,
        timeout_s: float,
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._pause = pause
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

    def server(self, server: str) -> Record | None:
        """Read one server, None if the project has none with this id."""
        answered = self._rest.get(f"/servers/{server}", allow=(404,))
        return None if _missing(answered) else record(answered, "server")

    def server_named(self, name: str) -> Record | None:
        """Find a server by its name, which is unique in the project."""
        found = self._all("/servers", "servers", {"name": name})
        return found[0] if found else None

    def servers(self, selector: str) -> list[Record]:
        """List the servers whose labels match, all pages."""
        return self._all("/servers", "servers", {"label_selector": selector, "sort": "id:asc"})

    def create_server(self, body: Mapping[str, Any]) -> Record | None:
        """Order a server; None if its name is taken."""
        answered = self._rest.call("POST", "/servers", body=body, allow=(409,))
        if answered.status == 409:
            if error_code(answered) == "uniqueness_error":
                return None
            raise judge(answered)
        return record(answered, "server")

    def delete_server(self, server: str) -> None:
        """Ask for a server's removal; one that is gone is fine."""
        answered = self._rest.call("DELETE", f"/servers/{server}", allow=(404,))
        _missing(answered)

    def act(self, server: str, verb: str) -> Answered | None:
        """Start an action on a server, such as `poweron`; None if the server is gone."""
        answered = self._rest.call("POST", f"/servers/{server}/actions/{verb}", allow=(404,))
        return None if _missing(answered) else answered

    def failed_actions(self, server: str) -> list[Record]:
        """Return the server's actions that ended in an error."""
        return self._all(f"/servers/{server}/actions", "actions", {"status": "error"})

    def wait(self, action: Record, longest_s: float) -> None:
        """Poll an action until it ends. Errors: Broken if it failed, TryLater if it takes longer."""
        end_ms = self._clock.now_ms() + round(longest_s * 1_000)
        while action["status"] == "running":
            if self._clock.now_ms() >= end_ms:
                raise TryLater(f"the action {action['command']} still runs", action=action["id"])
            self._pause(_POLL_S)
            action = record(self._rest.get(f"/actions/{action['id']}"), "action")
        if action["status"] != "success":
            raise Broken(f"the action {action['command']} failed: {failure(action)}")

    def catalogue(self) -> tuple[list[Record], list[Record], list[Record]]:
        """Read what is on sale: server types, images that can be used now, locations."""
        types = self._all("/server_types", "server_types", {})
        images = self._all("/images", "images", {"status": "available"})
        return types, images, self._all("/locations", "locations", {})

    def key_named(self, name: str) -> Record | None:
        """Find an SSH key object by its name; of several, the oldest."""
        found = self._all("/ssh_keys", "ssh_keys", {"name": name})
        return min(found, key=lambda each: int(each["id"]), default=None)

    def create_key(self, name: str, public_key: str, labels: Mapping[str, str]) -> None:
        """Make an SSH key object; a name that is taken is fine."""
        body = {"name": name, "public_key": public_key, "labels": labels}
        self._rest.call("POST", "/ssh_keys", body=body, allow=(409,))

    def touch_key(self, key: Record) -> None:
        """Write an SSH key object's own labels again: shows that the token may write."""
        self._rest.call("PUT", f"/ssh_keys/{key['id']}", body={"labels": key["labels"]})

    def _all(self, path: str, key: str, query: Query) -> list[Record]:
        def pages() -> Iterator[ListPage]:
            for page in itertools.count(1):
                asked = {**query, "page": page, "per_page": _PER_PAGE}
                answered = self._rest.get(path, asked)
                paging = answered.body["meta"]["pagination"]
                yield ListPage(records(answered, key), paging["total_entries"])
                if paging["next_page"] is None:
                    return

        return whole_list(path, pages)


def failure(action: Record) -> str:
    """Return the reason of a failed action."""
    error = action.get("error") or {}
    return f"{error.get('code', 'unknown')} ({error.get('message', '')})"


def _missing(answered: Answered) -> bool:
    said = error_code(answered) == "not_found"
    return is_missing(answered, "Hetzner", vendors_word=said)


def _said(answered: Answered, key: str) -> str:
    error = answered.body.get("error") if isinstance(answered.body, dict) else None
    return str(error.get(key, ""))[:300] if isinstance(error, dict) else ""
