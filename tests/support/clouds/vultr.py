"""A fake of Vultr with state: instances, the catalogue, traffic, its errors, rights and limits."""

from __future__ import annotations

import base64
import copy
import functools
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from decent_cloud.kernel.clock import HOUR_MS, SECOND_MS, parse_rfc3339
from tests.support.clouds.contract import OpenApiContract
from tests.support.clouds.documents import read_openapi
from tests.support.clouds.server import Answer, Call, Cloud, on

DOCUMENT = "vultr/openapi.json.gz"
TOKEN = "V" * 36
RIGHTS = frozenset({"subscriptions_view", "subscriptions", "provisioning"})
DEFAULT_PASSWORD = "v5{Fkvb#2ycPGwHs"  # what Vultr sets for root and shows for ten minutes
LIMIT_SAID = "You have reached the maximum number of active virtual machines for this account."
_BANDWIDTH = "/instances/{instance-id}/bandwidth"
Record = dict[str, Any]


def refusal(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    """Return an error as Vultr words it."""
    return Answer(status, {"error": text, "status": status}, headers or {})


class VultrContract(OpenApiContract):
    """Vultr's document, and what only its introduction says: how errors look, of which it lists few."""

    def of_answer(self, method: str, path: str, status: int, body: Any) -> list[str]:
        if status < 400:
            return super().of_answer(method, path, status, body)
        if not isinstance(body, dict) or not isinstance(body.get("error"), str):
            return ["an error is an object with the attribute error"]
        unknown = sorted(set(body) - {"error", "status"})
        return [f"an error has no {each}" for each in unknown]


@functools.cache
def vultr_contract(prefix: str) -> VultrContract:
    """Return the contract, with traffic by any day: the document names two days of 2020."""
    document = dict(read_openapi(DOCUMENT))
    item = copy.deepcopy(document["paths"][_BANDWIDTH])
    schema = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    traffic = schema["properties"]["bandwidth"]
    traffic["additionalProperties"] = next(iter(traffic.pop("properties").values()))
    document["paths"] = {**document["paths"], _BANDWIDTH: item}
    return VultrContract(document, prefix)


class VultrCloud(Cloud):
    """One account. Knobs are plain attributes; times are of the fake's own clock."""

    prefix = "/v2"

    def __init__(self) -> None:
        super().__init__(vultr_contract(self.prefix))
        self.instances: dict[str, Record] = {}
        self.user_data: dict[str, str] = {}  # as the machine reads it
        self.traffic: dict[str, dict[str, Record]] = {}
        self.plans = [
            _plan("vc2-1c-1gb", 1, 1_024, 25, 5),
            _plan("vc2-2c-4gb", 2, 4_096, 80, 20),
            _plan("vc2-4c-8gb", 4, 8_192, 160, 40),
        ]
        self.regions = [_region("fra"), _region("ams"), _region("ewr")]
        self.systems = [
            _system(2136, "Debian 12 x64 (bookworm)"),
            _system(2284, "Ubuntu 24.04 LTS x64"),
            _system(381, "Old Linux i386", arch="i386"),
        ]
        self.stock = {each["id"]: {plan["id"] for plan in self.plans} for each in self.regions}
        self.tokens: dict[str, frozenset[str]] = {TOKEN: RIGHTS}
        self.email = "owner@provider.example"
        self.boot_ms = 10 * SECOND_MS
        self.power_ms = 2 * SECOND_MS
        self.address_late_ms = 0
        self.list_lag_ms = 0
        self.deletion_ms = 0
        self.too_young_ms = 0  # younger instances are not deleted
        self.most_instances = 100
        self.most_per_page = 500
        self.allowed = True  # whether this host's address is in the key's access control
        self._events: list[tuple[int, Callable[[], object]]] = []

    # --- what a test looks at ---

    def carrying(self, tag: str) -> list[Record]:
        """Return the instances that carry a tag, visible or not."""
        return [each for each in self.instances.values() if tag in each["tags"]]

    def put_in(self, label: str, tags: Iterable[str] = ()) -> Record:
        """Put in a running instance that was made by somebody else an hour ago."""
        body = {"label": label, "tags": list(tags), "region": "fra", "os_id": 2136}
        made = self._made(body, self.plans[0], self.systems[0])
        self._events.clear()
        made.update(status="active", server_status="ok", power_status="running")
        made.update(date_created=_zoned(self, self.clock.now_ms() - HOUR_MS))
        return made

    def sell_out(self, *regions: str) -> None:
        """Let nothing be left in these regions; in any, if none is named."""
        for each in regions or tuple(self.stock):
            self.stock[each] = set()

    # --- what every call meets ---

    def gate(self, call: Call) -> Answer | None:
        self._finish()
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            return refusal(401, "Invalid API token.")
        if not self.allowed:
            return refusal(401, "Unauthorized IP address: 198.51.100.7")
        right = _needed(call)
        if right and right not in self.tokens[token]:
            return refusal(403, "You are not allowed to perform that action.")
        return None

    def unknown_path(self, call: Call) -> Answer:
        return refusal(404, "Invalid resource.")

    # --- calls ---

    @on("GET", "/account")
    def read_account(self, call: Call) -> Answer:
        token = call.headers["authorization"].removeprefix("Bearer ")
        account = {
            "name": "Owner",
            "email": self.email,
            "acls": sorted(self.tokens[token]),
            "balance": -100.5,
            "pending_charges": 60.25,
            "last_payment_date": "2026-10-10T01:56:20+00:00",
            "last_payment_amount": -1.25,
        }
        return Answer(200, {"account": account})

    @on("GET", "/instances")
    def list_instances(self, call: Call) -> Answer:
        found = [self._shown(each) for each in self.instances.values() if self._seen(each)]
        if call.one("label"):
            found = [each for each in found if each["label"] == call.one("label")]
        return self._page(call, "instances", found)

    @on("POST", "/instances")
    def order(self, call: Call) -> Answer:
        body = call.body
        plan = next((each for each in self.plans if each["id"] == body["plan"]), None)
        system = next((each for each in self.systems if each["id"] == body.get("os_id")), None)
        wrong = self._wrong_order(body, plan, system)
        if wrong or plan is None or system is None:
            return refusal(400, wrong)
        made = self._made(body, plan, system)
        shown = {**self._shown(made), "default_password": DEFAULT_PASSWORD}
        shown.pop("vpcs")
        return Answer(202, {"instance": shown})

    @on("GET", "/instances/{id}")
    def read_instance(self, call: Call) -> Answer:
        instance = self.instances.get(call.params["id"])
        if instance is None or not self._seen(instance):
            return refusal(404, "Invalid instance.")
        return Answer(200, {"instance": self._shown(instance)})

    @on("DELETE", "/instances/{id}")
    def delete_instance(self, call: Call) -> Answer:
        instance = self.instances.get(call.params["id"])
        if instance is None:
            return refusal(404, "Invalid instance.")
        if instance["server_status"] == "locked":
            text = "Unable to destroy server: Unable to remove VM: Server is currently locked"
            return refusal(500, text)
        if self._age_ms(instance) < self.too_young_ms:
            text = "Unable to destroy server: Servers cannot be destroyed within 5 minutes of being created"
            return refusal(500, text)
        number = instance["id"]
        if not self.deletion_ms:
            self.instances.pop(number)
            return Answer(204)
        instance["server_status"] = "locked"
        self._later(self.deletion_ms, lambda: self.instances.pop(number, None))
        return Answer(204)

    @on("POST", "/instances/{id}/halt")
    def halt(self, call: Call) -> Answer:
        return self._switch(call, "stopped")

    @on("POST", "/instances/{id}/start")
    def start(self, call: Call) -> Answer:
        return self._switch(call, "running")

    @on("GET", "/instances/{id}/bandwidth")
    def read_bandwidth(self, call: Call) -> Answer:
        instance = self.instances.get(call.params["id"])
        if instance is None:
            return refusal(404, "Invalid instance.")
        return Answer(200, {"bandwidth": self.traffic.get(instance["id"], {})})

    @on("GET", "/plans")
    def list_plans(self, call: Call) -> Answer:
        return self._page(call, "plans", self.plans)

    @on("GET", "/regions")
    def list_regions(self, call: Call) -> Answer:
        return self._page(call, "regions", self.regions)

    @on("GET", "/os")
    def list_systems(self, call: Call) -> Answer:
        return self._page(call, "os", self.systems)

    @on("GET", "/regions/{id}/availability")
    def read_stock(self, call: Call) -> Answer:
        left = self.stock.get(call.params["id"])
        if left is None:
            return refusal(404, "Invalid region.")
        return Answer(200, {"available_plans": sorted(left), "available_vpc_only_plans": []})

    # --- parts ---

    def _wrong_order(self, body: Record, plan: Record | None, system: Record | None) -> str:
        """Say what the vendor says of a wrong order; empty if it is right."""
        if plan is None:
            return "Invalid plan chosen."
        if body["region"] not in self.stock:
            return "Invalid region."
        if system is None:
            return "Invalid OS."
        try:
            base64.b64decode(body.get("user_data", ""), validate=True)
        except ValueError:
            return "user_data must be base64 encoded."
        if plan["id"] not in self.stock[body["region"]]:
            return "Server add failed: This plan is not available in the selected location."
        if len(self.instances) >= self.most_instances:
            return LIMIT_SAID
        return ""

    def _made(self, body: Record, plan: Record, system: Record) -> Record:
        number = str(uuid.uuid5(uuid.NAMESPACE_OID, f"instance {len(self.user_data)}"))
        made: Record = {
            "id": number,
            "os": system["name"],
            "ram": plan["ram"],
            "disk": plan["disk"],
            "main_ip": f"203.0.113.{len(self.user_data) % 250 + 1}",
            "vcpu_count": plan["vcpu_count"],
            "region": body["region"],
            "plan": plan["id"],
            "date_created": _zoned(self, self.clock.now_ms()),
            "status": "pending",
            "allowed_bandwidth": plan["bandwidth"],
            "netmask_v4": "255.255.255.0",
            "gateway_v4": "203.0.113.254",
            "power_status": "running",
            "server_status": "none",
            "v6_networks": [],
            "label": body.get("label", ""),
            "internal_ip": "",
            "vpc_only": False,
            "vpcs": [],
            "kvm": "",
            "hostname": body.get("hostname", "vultr.guest"),
            "os_id": system["id"],
            "app_id": 0,
            "image_id": "",
            "snapshot_id": "",
            "firewall_group_id": "",
            "features": ["ipv6"] if body.get("enable_ipv6") else [],
            "tags": list(body.get("tags") or ()),
            "user_scheme": "root",
        }
        self.instances[number] = made
        self.user_data[number] = base64.b64decode(body.get("user_data", "")).decode()
        # The three states do not change together.
        third = self.boot_ms // 3
        self._later(third, lambda: made.update(status="active", server_status="none"))
        self._later(2 * third, lambda: made.update(server_status="installingbooting"))
        self._later(self.boot_ms, lambda: made.update(server_status="ok"))
        return made

    def _switch(self, call: Call, end: str) -> Answer:
        instance = self.instances.get(call.params["id"])
        if instance is None:
            return refusal(404, "Invalid instance.")
        if instance["status"] != "active" or instance["server_status"] == "locked":
            return refusal(500, "Server is currently locked")
        self._later(self.power_ms, lambda: instance.update(power_status=end))
        return Answer(204)

    def _later(self, after_ms: int, effect: Callable[[], object]) -> None:
        self._events.append((self.clock.now_ms() + after_ms, effect))

    def _finish(self) -> None:
        now_ms = self.clock.now_ms()
        due = sorted((each for each in self._events if each[0] <= now_ms), key=lambda each: each[0])
        self._events = [each for each in self._events if each[0] > now_ms]
        for _, effect in due:
            effect()

    def _seen(self, instance: Record) -> bool:
        """Tell whether reads show the instance already."""
        return self._age_ms(instance) >= self.list_lag_ms

    def _shown(self, instance: Record) -> Record:
        shown: Record = copy.deepcopy(instance)
        if instance["status"] == "pending" or self._age_ms(instance) < self.address_late_ms:
            shown.update(main_ip="0.0.0.0", netmask_v4="", gateway_v4="0.0.0.0")
        return shown

    def _age_ms(self, instance: Record) -> int:
        return self.clock.now_ms() - parse_rfc3339(instance["date_created"])

    def _page(self, call: Call, key: str, found: list[Record]) -> Answer:
        start = int(base64.b64decode(call.one("cursor")).decode() or 0) if call.one("cursor") else 0
        end = start + min(self.most_per_page, int(call.one("per_page", "100")))
        following = base64.b64encode(str(end).encode()).decode() if end < len(found) else ""
        links = {"next": following, "prev": ""}
        return Answer(200, {key: found[start:end], "meta": {"total": len(found), "links": links}})


def _needed(call: Call) -> str:
    if "/instances" not in call.path:
        return ""
    if call.method == "GET":
        return "subscriptions_view"
    ordering = call.method == "POST" and call.path.endswith("/instances")
    return "provisioning" if ordering else "subscriptions"


def _zoned(cloud: Cloud, at_ms: int) -> str:
    """Return an instant as Vultr writes it."""
    return cloud.clock.rfc3339(at_ms)[:19] + "+00:00"


def _plan(name: str, cores: int, memory: int, disk: int, price: float) -> Record:
    return {
        "id": name,
        "vcpu_count": cores,
        "ram": memory,
        "disk": disk,
        "disk_count": 1,
        "bandwidth": 1_024,
        "monthly_cost": price,
        "hourly_cost": 0.007,
        "type": "vc2",
        "locations": ["fra", "ams", "ewr"],
        "gpu_brand": "none",
    }


def _region(name: str) -> Record:
    return {
        "id": name,
        "city": name.upper(),
        "country": "DE",
        "continent": "Europe",
        "options": ["ddos_protection"],
        "connectivity": ["public_ip"],
    }


def _system(number: int, name: str, arch: str = "x64") -> Record:
    return {"id": number, "name": name, "arch": arch, "family": name.split(maxsplit=1)[0].lower()}
