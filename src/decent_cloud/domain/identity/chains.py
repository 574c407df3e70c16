"""An account's stored links, read back as the verified chain they make."""

from __future__ import annotations

from functools import lru_cache

from decent_cloud.domain.identity.accounts import Device, Link
from decent_cloud.domain.keys.chain import ChainState, verify_chain
from decent_cloud.domain.keys.devices import Device as KeyDevice
from decent_cloud.domain.keys.statements import Statement, parse_statement
from decent_cloud.kernel.ids import AccountId


def chain_of(account: AccountId, links: tuple[Link, ...]) -> ChainState:
    """Verify the links of an account and return what they say.

    Errors: any `KeyRefused`: the store was changed by someone who has no key.
    """
    return _verified(account, tuple(link.statement for link in links))


def statement_text(statement: Statement) -> str:
    """Return the JSON of a statement as it is stored: canonical, so that equal ones are equal text."""
    return statement.encode().decode()


def read_statement(text: str) -> Statement:
    """Read a stored statement."""
    return parse_statement(text.encode())


def devices_of(chain: ChainState) -> tuple[Device, ...]:
    """Return all devices that the chain ever named, revoked ones included, in chain order."""
    return tuple(
        _row(chain.account_id, member.device, member.added_seq, active=member.revoked_seq is None)
        for member in chain.members.values()
    )


def _row(account: AccountId, device: KeyDevice, since_seq: int, *, active: bool) -> Device:
    return Device(
        account=account,
        kid=device.kid,
        sig_hex=device.sig.hex(),
        enc_hex=device.enc.hex(),
        rank=int(device.rank),
        type=device.type.value,
        active=active,
        since_seq=since_seq,
    )


@lru_cache(maxsize=128)  # a pure function of its arguments, and 0.8 ms a link
def _verified(account: AccountId, statements: tuple[str, ...]) -> ChainState:
    return verify_chain((read_statement(text) for text in statements), account_id=account)
