"""People for tests: accounts with real keys, chains and seed boxes, who sign their requests."""

from __future__ import annotations

import secrets
import weakref
from dataclasses import dataclass, field
from typing import Any

import httpx

from decent_cloud.client.signing import DeviceAuth
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.chain import ChainState, begin, extend
from decent_cloud.domain.keys.delegations import Delegation, sign_delegation
from decent_cloud.domain.keys.devices import Device, DeviceKeys, DeviceType, Rank
from decent_cloud.domain.keys.links import build_add, build_genesis
from decent_cloud.domain.keys.seeds import AccountSeed, seal_seed
from decent_cloud.domain.keys.statements import Statement, StatementType, cosign
from decent_cloud.kernel.ids import PoolId
from decent_cloud.kernel.status import Permission

PREFIX = "/api/v1"
ALL_PERMISSIONS = tuple(sorted(permission.value for permission in Permission))


def new_keys() -> DeviceKeys:
    return DeviceKeys(secrets.token_bytes(32))


def idempotency() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_urlsafe(18)}


class Api:
    """A client of the JSON API that signs with one device, or not at all."""

    def __init__(self, url: str, auth: httpx.Auth | None = None) -> None:
        # Plain HTTP on loopback: reading certificates would take longer than the request. The server
        # ends idle connections after 5 s, so ours end well before: no request meets that.
        self.http = httpx.Client(
            base_url=url,
            auth=auth,
            timeout=20,
            trust_env=False,
            verify=False,
            limits=httpx.Limits(keepalive_expiry=2),
        )
        weakref.finalize(self, self.http.close)

    def get(self, path: str, **query: str | int) -> httpx.Response:
        return self.http.get(PREFIX + path, params=query or None)

    def write(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        chosen = headers if headers is not None else idempotency()
        if body is None:
            return self.http.request(method, PREFIX + path, headers=chosen)
        return self.http.request(method, PREFIX + path, json=body, headers=chosen)

    def post(self, path: str, body: object = None) -> httpx.Response:
        return self.write("POST", path, body)

    def put(self, path: str, body: object = None) -> httpx.Response:
        return self.write("PUT", path, body)


@dataclass(slots=True)
class Person:
    """An account on a platform with one ordinary device and a recovery device."""

    url: str
    keys: DeviceKeys
    recovery: DeviceKeys
    seed: AccountSeed
    chain: ChainState
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.url, DeviceAuth(self.id, self.keys))

    @property
    def id(self) -> Any:
        return self.chain.account_id

    def api_of(self, keys: DeviceKeys) -> Api:
        return Api(self.url, DeviceAuth(self.id, keys))

    def add_device(self, keys: DeviceKeys, type_: DeviceType, rank: int) -> httpx.Response:
        """Append an `add` link signed by the new device and this one."""
        device = keys.public(type_, rank)
        link = build_add(self.chain.next_place, device, [keys])
        link = cosign(StatementType.LINK, link, self.keys)
        after = extend(self.chain, link)
        boxes = [] if device.is_agent else [box_of(self.seed, self.id, device)]
        answer = self.api.post("/accounts/me/chain", {"link": link.to_json(), "boxes": boxes})
        if answer.is_success:
            self.chain = after
        return answer


def box_of(seed: AccountSeed, account: Any, device: Device) -> dict[str, object]:
    sealed = seal_seed(seed, account, device)
    return {"kid": device.kid, "gen": seed.generation, "box": b64u.encode(sealed)}


def genesis() -> tuple[Statement, DeviceKeys, DeviceKeys, AccountSeed]:
    keys, recovery = new_keys(), new_keys()
    seed = AccountSeed(1, secrets.token_bytes(32))
    members = [
        (keys.public(DeviceType.CLI, Rank.ORDINARY), keys),
        (recovery.public(DeviceType.RECOVERY, Rank.RECOVERY), recovery),
    ]
    members.sort(key=lambda pair: pair[0].kid)
    return build_genesis(members, seed.public, secrets.token_bytes(16)), keys, recovery, seed


def genesis_body(link: Statement, seed: AccountSeed) -> dict[str, object]:
    chain = begin(link)
    boxes = [box_of(seed, chain.account_id, device) for device in chain.active()]
    return {"genesis": link.to_json(), "boxes": boxes}


def new_person(url: str) -> Person:
    """Create an account over the API."""
    link, keys, recovery, seed = genesis()
    answer = Api(url).post("/accounts", genesis_body(link, seed))
    assert answer.status_code == 201, answer.text
    return Person(url, keys, recovery, seed, begin(link))


@dataclass(slots=True)
class Shop:
    """A provider with a pool, and an agent of it with its own key."""

    owner: Person
    pool: str
    agent_keys: DeviceKeys
    agent: Api


def new_shop(
    url: str, permissions: tuple[str, ...] = ALL_PERMISSIONS, driver: str = "fake"
) -> Shop:
    """Make a provider, a pool and an agent with a delegation, over the API."""
    owner = new_person(url)
    made = owner.api.post("/providers", {"name": "Shop"})
    assert made.status_code == 201, made.text
    pool = owner.api.post("/pools", {"name": "main", "driver": driver})
    assert pool.status_code == 201, pool.text
    agent_keys = new_keys()
    added = owner.add_device(agent_keys, DeviceType.AGENT, Rank.READER)
    assert added.status_code == 201, added.text
    shop = Shop(owner, pool.json()["id"], agent_keys, owner.api_of(agent_keys))
    delegated = delegate(shop, permissions)
    assert delegated.status_code == 201, delegated.text
    return shop


def delegate(shop: Shop, permissions: tuple[str, ...], prev: Any = None) -> httpx.Response:
    owner = shop.owner
    record = Delegation(
        account_id=owner.id,
        agent=shop.agent_keys.kid,
        not_after_s=0,
        permissions=permissions,
        pool_id=PoolId(shop.pool),
        prev=prev,
    )
    statement = sign_delegation(record, owner.keys)
    path = f"/providers/{owner.id}/agent-delegations"
    return owner.api.post(path, {"statement": statement.to_json(), "label": "rack 1"})
