"""SSH key lists: what a tenant's device signs to say which keys let into a contract's machine, and no others."""

from __future__ import annotations

from dataclasses import dataclass

from decent_cloud.domain.keys import b64u, canonical
from decent_cloud.domain.keys.authority import check_account, check_head, verify_authority
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import ChainState, Pin
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.errors import BadShape
from decent_cloud.domain.keys.fields import Fields, ascending
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    digest_of,
    sign_statement,
)
from decent_cloud.kernel.ids import AccountId, Digest
from decent_cloud.kernel.ssh_keys import BadSshKey, SshPublicKey

MAX_KEYS = 16

_KEYS = ("acct", "contract", "head", "keys", "n", "v")


@dataclass(frozen=True, slots=True)
class KeyList:
    """All keys of the tenant that a contract's machine takes; the list with the highest `number` counts.

    `contract` is the contract's digest, `head` the tenant's chain as the signing device saw it.
    """

    account_id: AccountId
    contract: Digest
    head: Pin
    keys: tuple[SshPublicKey, ...]
    number: int

    def to_json(self) -> dict[str, Json]:
        return {
            "acct": b64u.from_hex(self.account_id),
            "contract": b64u.from_hex(self.contract),
            "head": {"hash": b64u.from_hex(self.head.head), "seq": self.head.seq},
            "keys": [key.line() for key in self.keys],
            "n": self.number,
            "v": 1,
        }

    @property
    def digest(self) -> Digest:
        """The hash of this list: two of one number are not the same."""
        return digest_of(StatementType.KEY_LIST, canonical.write(self.to_json()))


def parse_key_list(value: Json) -> KeyList:
    """Read a list's payload: 1 to 16 keys, each type and blob and nothing else, sorted, no key twice.

    Errors: `BadShape`, `NotCanonical`.
    """
    fields = Fields(value, _KEYS)
    fields.version()
    head = fields.inner("head", ("hash", "seq"))
    lines = fields.texts("keys")
    ascending(lines, "keys")
    if not 1 <= len(lines) <= MAX_KEYS:
        raise BadShape(f"a list names 1 to {MAX_KEYS} SSH keys")
    return KeyList(
        account_id=fields.account("acct"),
        contract=fields.digest("contract"),
        head=Pin(head.count("seq"), head.digest("hash")),
        keys=tuple(_key(line) for line in lines),
        number=fields.count("n", 1),
    )


def _key(line: str) -> SshPublicKey:
    try:
        key = SshPublicKey.parse(line)
    except BadSshKey as error:
        raise BadShape(f"an SSH key of the list: {error.message}") from error
    if key.line() != line:
        raise BadShape("an SSH key of the list is not just its type and base64 part")
    return key


def sign_key_list(wish: KeyList, keys: DeviceKeys) -> Statement:
    """Sign as a device of the tenant; `wish.keys` are sorted by their lines.

    Errors: `BadShape`, `NotCanonical` for what no reader would take.
    """
    parse_key_list(wish.to_json())
    return sign_statement(StatementType.KEY_LIST, wish.to_json(), [keys])


def verify_key_list(
    statement: Statement, tenant_chain: ChainState, contract: Digest, *, first_seen: bool = True
) -> KeyList:
    """Verify a tenant's list for this contract; that `number` is above the last is the caller's to see.

    Errors: any `KeyRefused`; `UnknownHead` when this copy of the chain ends before the list's head.
    `first_seen` as in `verify_order`.
    """
    value, signer = verify_authority(
        StatementType.KEY_LIST, statement, tenant_chain, first_seen=first_seen
    )
    found = parse_key_list(value)
    check_account(found.account_id, tenant_chain)
    if found.contract != contract:
        raise BadShape("the list is for another contract")
    check_head(tenant_chain, found.head, signer, first_seen=first_seen)
    return found
