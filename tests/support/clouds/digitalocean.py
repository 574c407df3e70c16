"""A fake of DigitalOcean with state: droplets, their actions, the catalogue, its errors, scopes and limits."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from decent_cloud.kernel.clock import HOUR_MS, SECOND_MS, parse_rfc3339
from tests.support.clouds.contract import OpenApiContract, openapi_contract
from tests.support.clouds.documents import follow, read_openapi
from tests.support.clouds.server import Answer, Call, Cloud, on

DOCUMENT = "digitalocean/openapi-bundled.json.gz"
TOKEN = "dop_v1_" + "t" * 64
USER_DATA_LIMIT = 64 * 1024
ACCOUNT = "b6fc48dbf6d9906cace5f3c78dc9851d957381ef"
TEAM = "5df3e3004a17e242b7c20ca6c9fc25b701a47ece"
LIMIT_SAID = "creating this/these droplet(s) will exceed your droplet limit"
_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,253}[a-zA-Z0-9])?")
_TAG = re.compile(r"[a-zA-Z0-9:_-]{1,255}")
_STATUS = {
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "unprocessable_entity": 422,
    "too_many_requests": 429,
    "server_error": 500,
    "service_unavailable": 503,
}
Record = dict[str, Any]


def refusal(code: str, message: str = "", headers: dict[str, str] | None = None) -> Answer:
    """Return the answer of a documented error."""
    return Answer(
        _STATUS[code], {"id": code, "message": message or code.replace("_", " ")}, headers or {}
    )


@dataclass(slots=True)
class Pending:
    """An action that runs: when it ends, what it does then, and whether it fails instead."""

    record: Record
    ends_ms: int
    effect: Callable[[], None]
    errored: bool = False


class DigitalOceanCloud(Cloud):
    """One account. Knobs are plain attributes; times are of the fake's own clock."""

    def __init__(self) -> None:
        self._openapi: OpenApiContract = openapi_contract(DOCUMENT)
        super().__init__(self._openapi)
        self._example = _example(read_openapi(DOCUMENT))
        self.droplets: dict[int, Record] = {}
        self.user_data: dict[int, str] = {}
        self.actions: list[Record] = []
        self.keys: dict[int, Record] = {}
        self.mailed: dict[int, str] = {}  # root passwords of orders that named no key
        self.named_keys: dict[int, list[str]] = {}  # by droplet, lines that its image is offered
        self.sizes = [
            self._size("s-1vcpu-1gb", 1, 1_024, 25, 6.0),
            self._size("s-2vcpu-4gb", 2, 4_096, 80, 24.0),
            self._size("s-4vcpu-8gb", 4, 8_192, 160, 48.0),
        ]
        self.regions = [self._region("fra1"), self._region("ams3"), self._region("nyc3")]
        self.images = [
            self._image(101, "debian-12-x64"),
            self._image(102, "ubuntu-24-04-x64"),
            self._image(103, "old-linux-x64", status="retired"),
        ]
        # What a token may do; None for full access.
        self.tokens: dict[str, frozenset[str] | None] = {TOKEN: None}
        self.account: Record = {
            "droplet_limit": 25,
            "floating_ip_limit": 5,
            "email": "owner@provider.example",
            "name": "Owner",
            "uuid": ACCOUNT,
            "email_verified": True,
            "status": "active",
            "status_message": "",
            "team": {"uuid": TEAM, "name": "Team"},
        }
        self.boot_ms = 10 * SECOND_MS
        self.action_ms = 2 * SECOND_MS
        self.address_late_ms = 0
        self.tags_late_ms = 0
        self.list_lag_ms = 0
        self.deletion_ms = 0
        self.deaf_to_shutdown = False
        self.forgets_deleting_new = False
        self.failing: set[str] = set()  # types of actions that end in an error
        self.limit = 5_000
        self._hour: list[int] = []
        self._pending: list[Pending] = []
        self._number = 3_164_000

    # --- what a test looks at ---

    def carrying(self, tag: str) -> list[Record]:
        """Return the droplets that carry a tag, visible or not."""
        return [each for each in self.droplets.values() if tag in each["tags"]]

    def put_in(self, name: str, tags: Iterable[str] = ()) -> Record:
        """Put in a running droplet that was made by somebody else an hour ago."""
        body = {"name": name, "tags": list(tags)}
        droplet = self._made(body, self.sizes[0], self.regions[0], self.images[0])
        self._pending = [each for each in self._pending if not _concerns(each, droplet)]
        droplet.update(status="active", created_at=_second(self, self.clock.now_ms() - HOUR_MS))
        return droplet

    def sell_out(self, *regions: str) -> None:
        """Let nothing be left in these regions; in any, if none is named."""
        for each in self.regions:
            if not regions or each["slug"] in regions:
                each["sizes"] = []
        for size in self.sizes:
            size["regions"] = [each["slug"] for each in self.regions if each["sizes"]]

    # --- what every call meets ---

    def gate(self, call: Call) -> Answer | None:
        self._finish()
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            return refusal("unauthorized", "Unable to authenticate you")
        now_ms = self.clock.now_ms()
        self._hour = [each for each in self._hour if each > now_ms - HOUR_MS]
        if len(self._hour) >= self.limit:
            return refusal("too_many_requests", "API Rate limit exceeded.")
        self._hour.append(now_ms)
        held = self.tokens[token]
        if held is not None and not self._needs(call) <= held:
            return refusal("forbidden", "You are not authorized to perform this operation")
        return None

    def stamp(self, call: Call, answer: Answer) -> Answer:
        first_ms = self._hour[0] if self._hour else self.clock.now_ms()
        rate = {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(max(0, self.limit - len(self._hour))),
            "ratelimit-reset": str((first_ms + HOUR_MS) // SECOND_MS),
        }
        return Answer(
            answer.status, answer.body, {**rate, **answer.headers}, answer.reason, answer.judged
        )

    def unknown_path(self, call: Call) -> Answer:
        return refusal("not_found", "The resource you were accessing could not be found.")

    def _needs(self, call: Call) -> frozenset[str]:
        """Return the scopes that the document asks for, and those of what is in the order."""
        operation, _ = self._openapi._find(call.method, call.path)
        named = (operation or {}).get("security", [{}])[0].get("bearer_auth", [])
        more = (
            {"tag:create", "image:read"}
            if isinstance(call.body, dict) and "tags" in call.body
            else set()
        )
        return frozenset({*named, *more})

    # --- calls ---

    @on("GET", "/v2/account")
    def read_account(self, call: Call) -> Answer:
        return Answer(200, {"account": self.account})

    @on("GET", "/v2/droplets")
    def list_droplets(self, call: Call) -> Answer:
        found = [self._shown(each) for each in self.droplets.values() if self._listed(each)]
        tag, name = call.one("tag_name"), call.one("name")
        if tag:
            found = [each for each in found if tag in each["tags"]]
        if name:
            found = [each for each in found if each["name"] == name]
        if self._hides_tags(call):
            for each in found:
                each["tags"] = []
        return _page(self, call, "droplets", found)

    @on("POST", "/v2/droplets")
    def order(self, call: Call) -> Answer:
        body = call.body
        size = _slug(self.sizes, body["size"])
        region = _slug(self.regions, body.get("region", ""))
        image = next(
            (each for each in self.images if body["image"] in {each["slug"], each["id"]}), None
        )
        wrong = self._wrong_order(body, size, region, image)
        if wrong or size is None or region is None or image is None:
            return refusal("unprocessable_entity", wrong)
        named = [self.keys.get(each) for each in body.get("ssh_keys") or ()]
        if None in named:
            return refusal(
                "unprocessable_entity", f"{body['ssh_keys']} are invalid key identifiers"
            )
        droplet = self._made(body, size, region, image)
        self.named_keys[droplet["id"]] = [each["public_key"] for each in named if each]
        if not named:
            self.mailed[droplet["id"]] = f"mailed-{droplet['id']}"
        action = self.actions[-1]
        link = {
            "id": action["id"],
            "rel": "create",
            "href": f"{self.origin}/v2/actions/{action['id']}",
        }
        return Answer(202, {"droplet": self._shown(droplet), "links": {"actions": [link]}})

    @on("GET", "/v2/account/keys")
    def list_keys(self, call: Call) -> Answer:
        return _page(self, call, "ssh_keys", list(self.keys.values()))

    @on("POST", "/v2/account/keys")
    def create_key(self, call: Call) -> Answer:
        body = call.body
        if not body["public_key"].startswith("ssh-"):
            return refusal(
                "unprocessable_entity",
                "Key invalid, key should be of the format `type key [comment]`",
            )
        if any(each["public_key"] == body["public_key"] for each in self.keys.values()):
            return refusal("unprocessable_entity", "SSH Key is already in use on your account")
        number = self._next()
        digest = hashlib.md5(body["public_key"].encode(), usedforsecurity=False).hexdigest()
        pairs = ":".join(digest[at : at + 2] for at in range(0, 32, 2))
        self.keys[number] = {"id": number, "fingerprint": pairs, **body}
        return Answer(201, {"ssh_key": self.keys[number]})

    @on("GET", "/v2/droplets/{id}")
    def read_droplet(self, call: Call) -> Answer:
        droplet = self.droplets.get(_number(call))
        if droplet is None or not self._listed(droplet):
            return self.unknown_path(call)
        shown = self._shown(droplet)
        if self._hides_tags(call):
            shown["tags"] = []
        return Answer(200, {"droplet": shown})

    @on("DELETE", "/v2/droplets/{id}")
    def delete_droplet(self, call: Call) -> Answer:
        droplet = self.droplets.get(_number(call))
        if droplet is None:
            return self.unknown_path(call)
        if droplet["status"] == "new":
            if self.forgets_deleting_new:
                return Answer(204)
            self._pending = [each for each in self._pending if not _concerns(each, droplet)]
        if self._busy(droplet):
            return refusal("unprocessable_entity", "Droplet already has a pending event.")
        if not self.deletion_ms:
            self.droplets.pop(droplet["id"])
            return Answer(204)
        self._act(droplet, "destroy", lambda: self._forget(droplet), self.deletion_ms)
        return Answer(204)

    @on("POST", "/v2/droplets/{id}/actions")
    def act_on(self, call: Call) -> Answer:
        droplet = self.droplets.get(_number(call))
        if droplet is None:
            return self.unknown_path(call)
        if self._busy(droplet):
            return refusal("unprocessable_entity", "Droplet already has a pending event.")
        kind = call.body["type"]
        end = "active" if kind == "power_on" else "off"
        if kind not in {"power_on", "power_off", "shutdown"}:
            self.violations.append(f"the fake does not know the action {kind}")
        if kind == "shutdown" and self.deaf_to_shutdown:
            end = droplet["status"]
        effect = lambda: droplet.update(status=end)  # noqa: E731
        return Answer(201, {"action": self._act(droplet, kind, effect, self.action_ms)})

    @on("GET", "/v2/droplets/{id}/actions")
    def list_actions(self, call: Call) -> Answer:
        if _number(call) not in self.droplets:
            return self.unknown_path(call)
        found = [each for each in self.actions if each["resource_id"] == _number(call)]
        return _page(self, call, "actions", found[::-1])

    @on("GET", "/v2/sizes")
    def list_sizes(self, call: Call) -> Answer:
        return _page(self, call, "sizes", self.sizes)

    @on("GET", "/v2/regions")
    def list_regions(self, call: Call) -> Answer:
        return _page(self, call, "regions", self.regions)

    @on("GET", "/v2/images/{id}")
    def read_image(self, call: Call) -> Answer:
        word = call.params["id"]
        for each in self.images:
            if word in {each["slug"], str(each["id"])}:
                return Answer(200, {"image": each})
        return self.unknown_path(call)

    # --- parts ---

    def _wrong_order(
        self, body: Record, size: Record | None, region: Record | None, image: Record | None
    ) -> str:
        """Say what the vendor says of a wrong order; empty if it is right."""
        if not _NAME.fullmatch(body["name"]):
            return "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)"
        if not all(_TAG.fullmatch(each) for each in body.get("tags") or ()):
            return "Tag names may only contain letters, numbers, colons, dashes, and underscores"
        if len(body.get("user_data", "").encode()) > USER_DATA_LIMIT:
            return "User data is too long (maximum is 65536 bytes)"
        if size is None:
            return "You specified an invalid size for Droplet creation."
        if region is None:
            return "You specified an invalid region for Droplet creation."
        if image is None or image["status"] == "retired":
            return "You specified an invalid image for Droplet creation."
        if not region["available"]:
            return "Region is not available"
        if size["slug"] not in region["sizes"] or region["slug"] not in size["regions"]:
            return "Size is not available in this region."
        if region["slug"] not in image["regions"]:
            return "The image you specified is not available in the selected region."
        if len(self.droplets) >= self.account["droplet_limit"]:
            return LIMIT_SAID
        return ""

    def _made(self, body: Record, size: Record, region: Record, image: Record) -> Record:
        number = self._next()
        droplet = copy.deepcopy(self._example)
        droplet.update(
            id=number,
            name=body["name"],
            memory=size["memory"],
            vcpus=size["vcpus"],
            disk=size["disk"],
            status="new",
            created_at=_second(self, self.clock.now_ms()),
            size=size,
            size_slug=size["slug"],
            region=region,
            image=image,
            tags=list(body.get("tags") or ()),
            features=["droplet_agent"],
            networks=self._networks(number),
        )
        droplet["disk_info"] = [{"type": "local", "size": {"amount": size["disk"], "unit": "gib"}}]
        self.droplets[number] = droplet
        self.user_data[number] = body.get("user_data", "")
        self._act(droplet, "create", lambda: droplet.update(status="active"), self.boot_ms)
        return droplet

    def _networks(self, number: int) -> Record:
        last = number % 250 + 1
        private = {"ip_address": f"10.128.192.{last}", "netmask": "255.255.0.0", "type": "private"}
        public = {"ip_address": f"203.0.113.{last}", "netmask": "255.255.255.0", "type": "public"}
        return {"v4": [private, {**public, "gateway": "203.0.113.254"}], "v6": []}

    def _act(self, droplet: Record, kind: str, effect: Callable[[], None], takes_ms: int) -> Record:
        record = {
            "id": self._next(),
            "status": "in-progress",
            "type": kind,
            "started_at": _second(self, self.clock.now_ms()),
            "completed_at": None,
            "resource_id": droplet["id"],
            "resource_type": "droplet",
            "region": droplet["region"],
            "region_slug": droplet["region"]["slug"],
        }
        self.actions.append(record)
        ends_ms = self.clock.now_ms() + takes_ms
        self._pending.append(Pending(record, ends_ms, effect, kind in self.failing))
        return dict(record)

    def _finish(self) -> None:
        now_ms = self.clock.now_ms()
        for each in [each for each in self._pending if each.ends_ms <= now_ms]:
            self._pending.remove(each)
            done = "errored" if each.errored else "completed"
            each.record.update(status=done, completed_at=_second(self, each.ends_ms))
            if not each.errored:
                each.effect()

    def _forget(self, droplet: Record) -> None:
        self.droplets.pop(droplet["id"], None)

    def _busy(self, droplet: Record) -> bool:
        return any(_concerns(each, droplet) for each in self._pending)

    def _listed(self, droplet: Record) -> bool:
        """Tell whether reads show the droplet already."""
        return self._age_ms(droplet) >= self.list_lag_ms

    def _shown(self, droplet: Record) -> Record:
        shown: Record = copy.deepcopy(droplet)
        shown["locked"] = self._busy(droplet)
        if droplet["status"] == "new":
            shown["networks"] = {"v4": [], "v6": []}
        elif self._age_ms(droplet) < self.address_late_ms:
            shown["networks"]["v4"].pop()
        if self._age_ms(droplet) < self.tags_late_ms:
            shown["tags"] = []
        return shown

    def _age_ms(self, droplet: Record) -> int:
        return self.clock.now_ms() - parse_rfc3339(droplet["created_at"])

    def _hides_tags(self, call: Call) -> bool:
        held = self.tokens[call.headers["authorization"].removeprefix("Bearer ")]
        return held is not None and "tag:read" not in held

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _size(self, slug: str, vcpus: int, memory: int, disk: int, price: float) -> Record:
        made: Record = copy.deepcopy(self._example["size"])
        made.update(slug=slug, vcpus=vcpus, memory=memory, disk=disk, price_monthly=price)
        made.update(available=True, regions=["fra1", "ams3", "nyc3"])
        return made

    def _region(self, slug: str) -> Record:
        made: Record = copy.deepcopy(self._example["region"])
        made.update(slug=slug, name=slug.upper(), available=True)
        made["sizes"] = [each["slug"] for each in self.sizes]
        return made

    def _image(self, number: int, slug: str, status: str = "available") -> Record:
        made: Record = copy.deepcopy(self._example["image"])
        made.update(id=number, slug=slug, name=slug, status=status, min_disk_size=10)
        made["regions"] = ["fra1", "ams3", "nyc3"]
        return made


def _example(document: Record) -> Record:
    """Return the document's own example of a droplet."""

    def resolved(node: Record) -> Record:
        while "$ref" in node:
            node = follow(document, node["$ref"])
        return node

    answer = resolved(document["paths"]["/v2/droplets"]["post"]["responses"]["202"])
    examples = answer["content"]["application/json"]["examples"]
    (first, *_) = map(resolved, examples.values())
    droplet: Record = copy.deepcopy(first["value"]["droplet"])
    return droplet


def _concerns(pending: Pending, droplet: Record) -> bool:
    return bool(pending.record["resource_id"] == droplet["id"])


def _second(cloud: Cloud, at_ms: int) -> str:
    """Return an instant as DigitalOcean writes it, in whole seconds."""
    return cloud.clock.rfc3339(at_ms)[:19] + "Z"


def _number(call: Call) -> int:
    text = call.params["id"]
    return int(text) if text.isdigit() else 0


def _slug(records: Iterable[Record], slug: Any) -> Record | None:
    return next((each for each in records if each["slug"] == slug), None)


def _page(cloud: Cloud, call: Call, key: str, found: list[Record]) -> Answer:
    page, per_page = int(call.one("page", "1")), int(call.one("per_page", "20"))
    pages = {}
    if page * per_page < len(found):
        following = f"{cloud.origin}{call.path}?page={page + 1}&per_page={per_page}"
        pages = {"next": following, "last": following}
    shown = found[(page - 1) * per_page : page * per_page]
    return Answer(200, {key: shown, "links": {"pages": pages}, "meta": {"total": len(found)}})
