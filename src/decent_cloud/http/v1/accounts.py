"""Accounts: chains, devices, seed boxes, personal fields, balances."""

from __future__ import annotations

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from decent_cloud.app import accounts
from decent_cloud.app.accounts import AccountDetails, Boxes, Chain
from decent_cloud.http.call import Call
from decent_cloud.kernel.clock import rfc3339
from decent_cloud.kernel.codec import from_json
from decent_cloud.kernel.ids import AccountId
from decent_cloud.wire.v1.accounts import (
    AccountView,
    AppendLink,
    BoxesView,
    ChainView,
    CreateAccount,
    DeviceView,
    SeedBoxWire,
    SetProfile,
)
from decent_cloud.wire.v1.statements import StatementWire


@post("/accounts", summary="Create an account")
async def create_account(
    call: NamedDependency[Call], data: JSONBody[CreateAccount]
) -> Response[AccountView]:
    """Begin an account with its genesis link; its id is the link's hash. Nothing else proves who you are."""
    return await call.write(
        lambda uow: account_view(accounts.create_account(uow, data, call.now_ms)),
        status=201,
    )


@get("/accounts/me", summary="The caller's account")
async def read_own_account(call: NamedDependency[Call]) -> AccountView:
    """Return the calling device's account."""
    caller = call.caller
    return account_view(
        await call.read(lambda uow: accounts.read_account(uow, caller, caller.account))
    )


@get("/accounts/{account:str}", summary="An account")
async def read_account(call: NamedDependency[Call], account: FromPath[str]) -> AccountView:
    """Return an account to one of its own devices."""
    found = await call.read(lambda uow: accounts.read_account(uow, call.caller, AccountId(account)))
    return account_view(found)


@put("/accounts/me/profile", summary="Set personal fields")
async def set_profile(
    call: NamedDependency[Call], data: JSONBody[SetProfile]
) -> Response[AccountView]:
    """Replace the personal fields; they are stored encrypted and shown to nobody else."""
    return await call.write(
        lambda uow: account_view(accounts.set_profile(uow, call.caller, data)),
        reread=lambda uow: account_view(accounts.account_details(uow, call.caller.account)),
    )


@get("/accounts/me/chain", summary="The caller's chain")
async def read_own_chain(call: NamedDependency[Call]) -> ChainView:
    """Return the key chain of the calling device's or agent's account."""
    caller = call.caller
    return chain_view(await call.read(lambda uow: accounts.read_chain(uow, caller, caller.account)))


@get("/accounts/{account:str}/chain", summary="A chain")
async def read_chain(call: NamedDependency[Call], account: FromPath[str]) -> ChainView:
    """Return a key chain to whoever has dealings with its account; verify every link of it."""
    found = await call.read(lambda uow: accounts.read_chain(uow, call.caller, AccountId(account)))
    return chain_view(found)


@post("/accounts/me/chain", summary="Append a link")
async def append_link(
    call: NamedDependency[Call], data: JSONBody[AppendLink]
) -> Response[AccountView]:
    """Add or remove devices: the next link, with a seed box for each device that needs one."""
    return await call.write(
        lambda uow: account_view(accounts.append_link(uow, call.caller, data, call.now_ms)),
        status=201,
        reread=lambda uow: account_view(accounts.account_details(uow, call.caller.account)),
    )


@get("/accounts/me/boxes", summary="The calling device's seed boxes")
async def read_boxes(call: NamedDependency[Call]) -> BoxesView:
    """Return the sealed account seeds that the calling device can open."""
    return boxes_view(await call.read(lambda uow: accounts.read_boxes(uow, call.caller)))


def account_view(found: AccountDetails) -> AccountView:
    """Render an account for its own devices."""
    return AccountView(
        id=found.account.id,
        seq=found.account.seq,
        head=found.account.head,
        created_at=rfc3339(found.account.created_at_ms),
        admin=found.account.admin,
        provider=found.provider,
        devices=tuple(
            DeviceView(kid=device.kid, rank=device.rank, type=device.type, active=device.active)
            for device in found.devices
        ),
        display_name=found.profile.display_name,
        email=found.profile.email,
    )


def chain_view(found: Chain) -> ChainView:
    """Render a chain as stored."""
    return ChainView(
        account=found.account.id,
        seq=found.account.seq,
        head=found.account.head,
        links=tuple(from_json(link.statement, StatementWire) for link in found.links),
    )


def boxes_view(found: Boxes) -> BoxesView:
    """Render a device's seed boxes."""
    return BoxesView(
        boxes=tuple(SeedBoxWire(kid=box.kid, gen=box.gen, box=box.box) for box in found.boxes),
        old_seeds={str(seed.gen): seed.box for seed in found.old_seeds},
    )


ROUTES = (
    create_account,
    read_own_account,
    read_account,
    set_profile,
    read_own_chain,
    read_chain,
    append_link,
    read_boxes,
)
