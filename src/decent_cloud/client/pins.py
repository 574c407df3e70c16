"""What this device has seen: the newest link of every chain, the last credential of every contract."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from decent_cloud.client.private_files import locked, write_private
from decent_cloud.domain.keys.chain import ChainState, Pin, check_pin
from decent_cloud.domain.keys.credentials import Accepted
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import AccountId, Digest


class PinsDamaged(KeyRefused):
    """The file with what was seen before is damaged; nothing can be trusted without it."""

    code = "pins_damaged"


class _Seen(TypedDict):
    accounts: dict[str, tuple[int, str]]
    credentials: dict[str, tuple[int, str]]


class Pins:
    """One JSON file; losing it means trusting the platform's word once more."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pin(self, account: AccountId) -> Pin | None:
        """Return the newest link seen of an account's chain."""
        found = self._read()["accounts"].get(account)
        return Pin(found[0], Digest(found[1])) if found else None

    def keep(self, chain: ChainState) -> None:
        """Remember the newest link of a verified chain; an older one never takes its place.

        Errors: RolledBack, Forked.
        """
        with locked(self._path):
            seen = self._read()
            found = seen["accounts"].get(chain.account_id)
            if found == (chain.seq, chain.head):
                return
            if found:
                check_pin(chain, Pin(found[0], Digest(found[1])))
            seen["accounts"][chain.account_id] = (chain.seq, chain.head)
            self._write(seen)

    def accepted(self, contract: Digest) -> Accepted | None:
        """Return the last credential of a contract that this device accepted."""
        found = self._read()["credentials"].get(contract)
        return Accepted(found[0], Digest(found[1])) if found else None

    def accept(self, contract: Digest, last: Accepted) -> None:
        """Remember the newest credential of a contract."""
        with locked(self._path):
            seen = self._read()
            found = seen["credentials"].get(contract)
            if found and found[0] >= last.number:
                return
            seen["credentials"][contract] = (last.number, last.inner)
            self._write(seen)

    def _read(self) -> _Seen:
        try:
            return codec.from_json(self._path.read_bytes(), _Seen)
        except FileNotFoundError:
            return {"accounts": {}, "credentials": {}}
        except Invalid:
            raise PinsDamaged(
                f"{self._path} is damaged; restore it from a backup, or remove it to trust the "
                "platform's word once more",
                field="pins",
            ) from None

    def _write(self, seen: _Seen) -> None:
        write_private(self._path, codec.to_json(seen))
