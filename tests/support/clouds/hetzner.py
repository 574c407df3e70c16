"""A fake of Hetzner Cloud with state: servers, actions, the catalogue, SSH keys, its errors and limits."""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from decent_cloud.kernel.clock import SECOND_MS, parse_rfc3339
from tests.support.clouds.contract import OpenApiContract, openapi_contract
from tests.support.clouds.documents import read_openapi
from tests.support.clouds.server import Answer, Call, Cloud, on

DOCUMENT = "hetzner/cloud.spec.json.gz"
TOKEN = "t" * 64
READ_ONLY = "r" * 64
USER_DATA_LIMIT = 32 * 1024
_LABEL_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_PUBLIC_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-\S+) [A-Za-z0-9+/=]+( .*)?")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")
_STATUS = {
    "not_found": 404,
    "unauthorized": 401,
    "token_readonly": 401,
    "forbidden": 403,
    "resource_limit_exceeded": 403,
    "uniqueness_error": 409,
    "conflict": 409,
    "resource_unavailable": 412,
    "invalid_input": 422,
    "placement_error": 422,
    "locked": 423,
    "protected": 423,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "bad_gateway": 502,
    "unavailable": 503,
    "timeout": 504,
}
Record = dict[str, Any]


def refusal(code: str, message: str = "", headers: dict[str, str] | None = None) -> Answer:
    """Return the answer of a documented error."""
    said = message or code.replace("_", " ")
    body = {"error": {"code": code, "message": said, "details": None}}
    return Answer(_STATUS[code], body, headers or {})


@dataclass(slots=True)
class Pending:
    """An action that runs: when it ends, what it does then, and with what error it fails instead."""

    record: Record
    ends_ms: int
    effect: Callable[[], None]
    error: str = ""


class HetznerCloud(Cloud):
    """One project. Knobs are plain attributes; times are of the fake's own clock."""

    prefix = "/v1"

    def __init__(self) -> None:
        contract: OpenApiContract = openapi_contract(DOCUMENT, self.prefix)
        super().__init__(contract)
        document = read_openapi(DOCUMENT)
        examples = document["paths"]["/servers"]["post"]["responses"]["201"]["content"]
        self._example: Record = examples["application/json"]["examples"]["default"]["value"]
        self.servers: dict[int, Record] = {}
        self.keys: dict[int, Record] = {}
        self.actions: dict[int, Record] = {}
        self.passwords: dict[int, str] = {}  # what Hetzner's own resets set
        self.user_data: dict[int, str] = {}
        self.mailed: list[str] = []  # servers whose root password Hetzner made, expired and mailed
        self.types = [
            self._type(1, "cpx11", 2, 2, 40, "3.85"),
            self._type(2, "cpx22", 2, 4, 80, "6.49"),
            self._type(3, "cax11", 2, 4, 40, "3.79", architecture="arm"),
        ]
        self.images = [
            self._image(11, "debian-12", "x86"),
            self._image(12, "debian-12", "arm"),
            self._image(13, "ubuntu-24.04", "x86"),
            self._image(14, "old-linux", "x86", deprecated="2018-02-28T00:00:00Z"),
        ]
        self.locations = [self._location(1, "fsn1"), self._location(2, "nbg1")]
        self.action_ms = 2 * SECOND_MS
        self.address_late_ms = 0
        self.deletion_ms = 0
        self.most_servers = 1_000
        self.guest_agent = True
        self.unique_keys = True  # their names: nobody documents whether they are
        self.deaf_to_shutdown = False
        self.failing: dict[str, str] = {}  # command -> error code of its actions
        self.limit = 3_600
        self._spent: float = 0.0
        self._spent_at_ms = self.clock.now_ms()
        self._pending: list[Pending] = []
        self._number = 1_000

    # --- what a test looks at ---

    def carrying(self, key: str, value: str) -> list[Record]:
        """Return the servers that carry a label."""
        return [each for each in self.servers.values() if each["labels"].get(key) == value]

    def put_in(self, name: str, labels: dict[str, str] | None = None) -> Record:
        """Put in a running server that was made by somebody else."""
        made = self._ordered(
            {"name": name, "labels": labels or {}}, self.types[0], self.locations[0], self.images[0]
        )
        server: Record = self.servers[made.body["server"]["id"]]
        self._pending = [each for each in self._pending if not _concerns(each, server)]
        server["status"] = "running"
        return server

    def sell_out(self, *, locations: Iterable[str] = (), types: Iterable[str] = ()) -> None:
        """Let nothing be left of these types at these locations; empty: of all, anywhere."""
        for each in self.types:
            for place in each["locations"]:
                chosen = not types or each["name"] in types
                if chosen and (not locations or place["name"] in locations):
                    place["available"] = False

    # --- what every call meets ---

    def gate(self, call: Call) -> Answer | None:
        self._finish_actions()
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in {TOKEN, READ_ONLY}:
            return refusal("unauthorized", "unable to authenticate")
        if token == READ_ONLY and call.method != "GET":
            return refusal("token_readonly", "the token is only allowed to perform GET requests")
        now_ms = self.clock.now_ms()
        refilled = (now_ms - self._spent_at_ms) / SECOND_MS
        self._spent, self._spent_at_ms = max(0.0, self._spent - refilled), now_ms
        if self._spent + 1 > self.limit:
            return refusal("rate_limit_exceeded")
        self._spent += 1
        return None

    def stamp(self, call: Call, answer: Answer) -> Answer:
        full_at_s = (self.clock.now_ms() + round(self._spent * SECOND_MS)) // SECOND_MS
        headers = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(0, int(self.limit - self._spent))),
            "RateLimit-Reset": str(full_at_s),
        }
        return replace(answer, headers={**headers, **answer.headers})

    def refuse(self, call: Call, violations: list[str]) -> Answer | None:
        return refusal("invalid_input", violations[0])

    def unknown_path(self, call: Call) -> Answer:
        return refusal("not_found")

    # --- servers ---

    @on("POST", "/servers")
    def create_server(self, call: Call) -> Answer:
        body = call.body
        wrong = self._wrong_order(body)
        if wrong is not None:
            return wrong
        server_type = _named(self.types, body["server_type"])
        location = _named(self.locations, body.get("location", "fsn1"))
        image = next(
            (
                each
                for each in self.images
                if body["image"] in {each["name"], str(each["id"])}
                and server_type
                and each["architecture"] == server_type["architecture"]
            ),
            None,
        )
        if server_type is None or location is None or image is None:
            return refusal("invalid_input", "unknown server type, location or image")
        if any(each["name"] == body["name"] for each in self.servers.values()):
            return refusal("uniqueness_error", "server name is already used")
        if len(self.servers) >= self.most_servers:
            return refusal("resource_limit_exceeded", "server limit exceeded")
        stock = _named(server_type["locations"], location["name"])
        if stock is None or not stock["available"]:
            return refusal("resource_unavailable", "error during placement")
        return self._ordered(body, server_type, location, image)

    @on("GET", "/servers")
    def list_servers(self, call: Call) -> Answer:
        found = [self._shown(each) for each in self.servers.values()]
        name = call.one("name")
        found = [each for each in found if not name or each["name"] == name]
        found = [each for each in found if _selects(call.one("label_selector"), each["labels"])]
        return _page(call, "servers", found)

    @on("GET", "/servers/{id}")
    def get_server(self, call: Call) -> Answer:
        server = self._server(call)
        return Answer(200, {"server": self._shown(server)}) if server else refusal("not_found")

    @on("DELETE", "/servers/{id}")
    def delete_server(self, call: Call) -> Answer:
        server = self._server(call)
        refused = self._busy(server, deleting=True)
        if refused is not None or server is None:
            return refused or refusal("not_found")
        server["status"] = "deleting"

        def gone() -> None:
            self.servers.pop(server["id"], None)

        action = self._act(server, "delete_server", gone, self.deletion_ms)
        self._finish_actions()
        return Answer(200, {"action": action})

    @on("POST", "/servers/{id}/actions/poweron")
    def poweron(self, call: Call) -> Answer:
        return self._switch(call, "start_server", "starting", "running")

    @on("POST", "/servers/{id}/actions/poweroff")
    def poweroff(self, call: Call) -> Answer:
        return self._switch(call, "stop_server", "stopping", "off")

    @on("POST", "/servers/{id}/actions/shutdown")
    def shutdown(self, call: Call) -> Answer:
        if self.deaf_to_shutdown:
            return self._switch(call, "shutdown_server", "running", "running")
        return self._switch(call, "shutdown_server", "stopping", "off")

    @on("POST", "/servers/{id}/actions/reset_password")
    def reset_password(self, call: Call) -> Answer:
        server = self._server(call)
        refused = self._busy(server)
        if refused is not None or server is None:
            return refused or refusal("not_found")
        if server["status"] != "running":
            return refusal("conflict", "server must be powered on")
        password = secrets.token_urlsafe(15)

        def set_it() -> None:
            self.passwords[server["id"]] = password

        error = "" if self.guest_agent else "action_failed"
        action = self._act(server, "reset_password", set_it, self.action_ms, error)
        return Answer(201, {"action": action, "root_password": password})

    @on("GET", "/servers/{id}/actions")
    def list_server_actions(self, call: Call) -> Answer:
        server = self._server(call)
        if server is None:
            return refusal("not_found")
        found = [
            each
            for each in self.actions.values()
            if {"id": server["id"], "type": "server"} in each["resources"]
            and each["status"] in (call.query.get("status") or {each["status"]})
        ]
        return _page(call, "actions", found)

    @on("GET", "/actions/{id}")
    def get_action(self, call: Call) -> Answer:
        action = self.actions.get(_number(call))
        return Answer(200, {"action": action}) if action else refusal("not_found")

    # --- catalogue ---

    @on("GET", "/server_types")
    def list_types(self, call: Call) -> Answer:
        return _page(call, "server_types", self.types)

    @on("GET", "/images")
    def list_images(self, call: Call) -> Answer:
        wanted = call.query.get("status")
        found = [each for each in self.images if not wanted or each["status"] in wanted]
        return _page(call, "images", found)

    @on("GET", "/locations")
    def list_locations(self, call: Call) -> Answer:
        return _page(call, "locations", self.locations)

    # --- SSH keys ---

    @on("GET", "/ssh_keys")
    def list_keys(self, call: Call) -> Answer:
        name = call.one("name")
        found = [each for each in self.keys.values() if not name or each["name"] == name]
        return _page(call, "ssh_keys", found)

    @on("POST", "/ssh_keys")
    def create_key(self, call: Call) -> Answer:
        body = call.body
        if not _PUBLIC_KEY.fullmatch(body["public_key"]):
            return refusal("invalid_input", "invalid input in field 'public_key'")
        if not _labels_are_right(body.get("labels", {})):
            return refusal("invalid_input", "invalid label")
        for each in self.keys.values():
            if self.unique_keys and each["name"] == body["name"]:
                return refusal("uniqueness_error", "name is already used")
            if each["public_key"].split()[:2] == body["public_key"].split()[:2]:
                return refusal("uniqueness_error", "fingerprint is already used")
        key = {
            "id": self._next(),
            "name": body["name"],
            "fingerprint": "b7:2f:30:a0:2f:6c:58:6c:21:04:58:61:ba:06:3b:2f",
            "public_key": body["public_key"],
            "labels": body.get("labels", {}),
            "created": self.clock.rfc3339(),
        }
        self.keys[key["id"]] = key
        return Answer(201, {"ssh_key": key})

    @on("PUT", "/ssh_keys/{id}")
    def update_key(self, call: Call) -> Answer:
        key = self.keys.get(_number(call))
        if key is None:
            return refusal("not_found")
        key.update(call.body)
        return Answer(200, {"ssh_key": key})

    @on("DELETE", "/ssh_keys/{id}")
    def delete_key(self, call: Call) -> Answer:
        return Answer(204) if self.keys.pop(_number(call), None) else refusal("not_found")

    # --- parts ---

    def _wrong_order(self, body: Record) -> Answer | None:
        if not _NAME.fullmatch(body["name"]):
            return refusal("invalid_input", "invalid input in field 'name'")
        if not _labels_are_right(body.get("labels", {})):
            return refusal("invalid_input", "invalid input in field 'labels'")
        names = {each["name"] for each in self.keys.values()}
        if not set(body.get("ssh_keys", ())) <= names:
            return refusal("invalid_input", "SSH key not found")
        if len(body.get("user_data", "").encode()) > USER_DATA_LIMIT:
            return refusal("invalid_input", "invalid input in field 'user_data'")
        return None

    def _ordered(self, body: Record, type_: Record, location: Record, image: Record) -> Answer:
        number = self._next()
        server = copy.deepcopy(self._example["server"])
        net = body.get("public_net", {})
        address = f"203.0.113.{number % 250 + 1}"
        server.update(
            id=number,
            name=body["name"],
            status="initializing",
            created=self.clock.rfc3339(),
            server_type=type_,
            location=location,
            image=image,
            iso=None,
            locked=False,
            labels=body.get("labels", {}),
            private_net=[],
            outgoing_traffic=0,
            ingoing_traffic=0,
            primary_disk_size=type_["disk"],
        )
        server["public_net"].update(floating_ips=[], firewalls=[])
        server["public_net"]["ipv4"].update(id=self._next(), ip=address)
        server["public_net"]["ipv6"].update(id=self._next())
        if net.get("enable_ipv4") is False:
            server["public_net"]["ipv4"] = None
        if net.get("enable_ipv6") is False:
            server["public_net"]["ipv6"] = None
        self.servers[number] = server
        self.user_data[number] = body.get("user_data", "")
        start = body.get("start_after_create", True)

        def made() -> None:
            server["status"] = "starting" if start else "off"

        def started() -> None:
            server["status"] = "running"

        first = self._act(server, "create_server", made, self.action_ms)
        following = []
        if start:
            following.append(self._act(server, "start_server", started, 2 * self.action_ms))
        shown = self._shown(server)
        password = None if body.get("ssh_keys") else secrets.token_urlsafe(15)
        if password:
            self.mailed.append(body["name"])
        answer = {"server": shown, "action": first, "next_actions": following}
        return Answer(201, {**answer, "root_password": password})

    def _switch(self, call: Call, command: str, through: str, end: str) -> Answer:
        server = self._server(call)
        refused = self._busy(server)
        if refused is not None or server is None:
            return refused or refusal("not_found")
        if server["status"] != end:
            server["status"] = through

        def done() -> None:
            server["status"] = end

        return Answer(201, {"action": self._act(server, command, done, self.action_ms)})

    def _act(
        self,
        server: Record,
        command: str,
        effect: Callable[[], None],
        takes_ms: int,
        error: str = "",
    ) -> Record:
        record = {
            "id": self._next(),
            "command": command,
            "status": "running",
            "progress": 0,
            "started": self.clock.rfc3339(),
            "finished": None,
            "resources": [{"id": server["id"], "type": "server"}],
            "error": None,
        }
        self.actions[self._number] = record
        error = error or self.failing.get(command, "")
        ends_ms = self.clock.now_ms() + takes_ms
        self._pending.append(Pending(record, ends_ms, effect, error))
        return copy.deepcopy(record)

    def _finish_actions(self) -> None:
        now_ms = self.clock.now_ms()
        for each in sorted(self._pending, key=lambda each: each.ends_ms):
            if each.ends_ms > now_ms:
                break
            self._pending.remove(each)
            each.record.update(progress=100, finished=self.clock.rfc3339(each.ends_ms))
            if each.error:
                error = {"code": each.error, "message": "Action failed"}
                each.record.update(status="error", error=error)
                if each.record["command"] == "create_server":
                    self._fail_what_follows(each)
            else:
                each.record.update(status="success")
                each.effect()

    def _fail_what_follows(self, first: Pending) -> None:
        for each in self._pending:
            if each.record["resources"] == first.record["resources"]:
                each.error = first.error

    def _busy(self, server: Record | None, *, deleting: bool = False) -> Answer | None:
        if server is None:
            return refusal("not_found")
        if server["protection"]["delete"] and deleting:
            return refusal("protected", "server is delete protected")
        running = [each.record for each in self._pending if _concerns(each, server)]
        # An order that is being carried out can be taken back.
        if any(not (deleting and each["command"] in _BOOT) for each in running):
            return refusal("locked", "server is locked")
        if deleting:
            gone = {each["id"] for each in running}
            self._pending = [each for each in self._pending if each.record["id"] not in gone]
        return None

    def _shown(self, server: Record) -> Record:
        shown: Record = copy.deepcopy(server)
        age_ms = self.clock.now_ms() - parse_rfc3339(server["created"])
        if age_ms < self.address_late_ms:
            shown["public_net"]["ipv4"] = None
        shown["locked"] = any(_concerns(each, server) for each in self._pending)
        return shown

    def _server(self, call: Call) -> Record | None:
        return self.servers.get(_number(call))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _type(
        self,
        number: int,
        name: str,
        cores: int,
        memory: int,
        disk: int,
        price: str,
        architecture: str = "x86",
    ) -> Record:
        made: Record = copy.deepcopy(self._example["server"]["server_type"])
        made.update(id=number, name=name, description=name.upper(), deprecated=False)
        made.update(cores=cores, memory=memory, disk=disk, architecture=architecture)
        made["prices"][0]["price_monthly"].update(net=price)
        for each in made["locations"]:
            each.update(available=True, deprecation=None)
        return made

    def _image(
        self, number: int, name: str, architecture: str, deprecated: str | None = None
    ) -> Record:
        made: Record = copy.deepcopy(self._example["server"]["image"])
        made.update(id=number, type="system", name=name, description=name, created_from=None)
        made.update(architecture=architecture, deprecated=deprecated, labels={})
        return made

    def _location(self, number: int, name: str) -> Record:
        made: Record = copy.deepcopy(self._example["server"]["location"])
        made.update(id=number, name=name)
        return made


_BOOT = {"create_server", "start_server"}


def _concerns(pending: Pending, server: Record) -> bool:
    return bool(pending.record["resources"][0]["id"] == server["id"])


def _number(call: Call) -> int:
    text = call.params["id"]
    return int(text) if text.isdigit() else 0


def _named(records: Iterable[Record], word: Any) -> Record | None:
    return next((each for each in records if str(word) in {each["name"], str(each["id"])}), None)


def _page(call: Call, key: str, found: list[Record]) -> Answer:
    page, per_page = int(call.one("page", "1")), min(50, int(call.one("per_page", "25")))
    last = max(1, -(-len(found) // per_page))
    pagination = {
        "page": page,
        "per_page": per_page,
        "previous_page": page - 1 if page > 1 else None,
        "next_page": page + 1 if page < last else None,
        "last_page": last,
        "total_entries": len(found),
    }
    shown = found[(page - 1) * per_page : page * per_page]
    return Answer(200, {key: shown, "meta": {"pagination": pagination}})


def _selects(selector: str, labels: Record) -> bool:
    """Read the part of the selector language that is `k==v` and `k`, with commas."""
    for each in filter(None, selector.split(",")):
        key, equals, value = each.partition("==")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _labels_are_right(labels: Record) -> bool:
    return all(
        _LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value) for key, value in labels.items()
    )
