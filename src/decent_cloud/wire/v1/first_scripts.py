"""First scripts: what terms say of them, their text for agents, and their sealed logs for tenants."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.kernel.status import OnScriptFailure, ScriptKind
from decent_cloud.wire.v1.money import B64u, Hex64
from decent_cloud.wire.v1.statements import StatementWire


class FirstScriptView(Answer, frozen=True):
    """What runs once in a new machine, as the signed terms say: its hash, how long it may run, and what
    becomes of a machine in which it failed.
    """

    kind: ScriptKind
    sha256: Hex64
    timeout_s: int
    on_failure: OnScriptFailure


class FirstScriptText(Answer, frozen=True):
    """A contract's script for the agent of its pool, and the signed terms that name it.

    `terms` is canonical JSON as at order time; `offer` signs its hash, and the order names that offer.
    """

    text: str
    terms: str
    offer: StatementWire


class LogWire(Request, frozen=True):
    """A sealed log's outer object; only the tenant's devices can open it."""

    ct: B64u
    gen: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    n: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    suite: Annotated[int, msgspec.Meta(ge=1, le=1)]
    v: Annotated[int, msgspec.Meta(ge=1, le=1)]


class LogView(Answer, frozen=True):
    """The sealed log of a contract's first script, and which delegation stands behind its signer."""

    contract: str
    provider: Hex64
    log: LogWire
    delegation: StatementWire
