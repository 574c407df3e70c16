"""A small Internet Computer: one replica with one ledger, our wallet on it, and ways to reach them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import httpx

from decent_cloud.adapters.icp.agent import IcAgent, Patience
from decent_cloud.adapters.icp.certificates import Verifier
from decent_cloud.adapters.icp.rail import Icrc1Rail
from decent_cloud.adapters.icp.signer import Ed25519Signer
from decent_cloud.domain.payments.icrc1_accounts import Icrc1Account
from decent_cloud.domain.payments.icrc1_transfer import TransferTerms, payout_memo
from decent_cloud.domain.payments.token_ledgers import TOKEN_LEDGERS, LedgerKind
from decent_cloud.kernel.money import Asset
from tests.support.icp.books import Archive, LedgerCanister
from tests.support.icp.clock import HandClock
from tests.support.icp.ledger import Ledger
from tests.support.icp.replica import Replica, ReplicaTransport
from tests.support.loopback import serving

ASSETS = {
    LedgerKind.ICRC: Asset.CKUSDC,
    LedgerKind.ICP: Asset.ICP,
    LedgerKind.DCT: Asset.DCT,
}
FUNDS = 10_000_000_000
PAYEE = Icrc1Account(hashlib.sha224(b"a provider").digest() + b"\x02")
ORIGIN = "http://replica"


def archive_id(number: int) -> bytes:
    """Return the canister id of an archive."""
    return (0xA000 + number).to_bytes(8, "big") + b"\x01\x01"


@dataclass
class Network:
    """The parts, for tests to turn."""

    clock: HandClock
    replica: Replica
    canister: LedgerCanister
    rail: Icrc1Rail
    agent: IcAgent
    http: httpx.Client

    @property
    def ledger(self) -> Ledger:
        return self.canister.ledger

    def terms(self, payout: str = "p1", amount: int = 250_000) -> TransferTerms:
        """Fix the terms of a transfer now."""
        return TransferTerms(
            payer=self.rail.wallet,
            payee=PAYEE,
            amount_minor=amount,
            fee_minor=self.ledger.fee,
            memo=payout_memo(payout),
            created_at_ns=self.clock.now_ns,
        )

    def archive(self, blocks: int, number: int = 1) -> Archive:
        """Move the oldest blocks into an archive canister, which the ledger lists."""
        made = self.canister.archive(archive_id(number), blocks)
        self.replica.canisters[made.canister] = made
        return made

    def others_transfer(self, times: int = 1) -> None:
        """Let strangers move tokens."""
        self.replica.run_due()
        for _ in range(times):
            self.ledger.mint(Icrc1Account(b"stranger"), 1, self.clock.now_ns)
        self.ledger.approve(Icrc1Account(b"stranger"), self.clock.now_ns)

    def paid(self, terms: TransferTerms) -> int:
        """Count how often the ledger moved these terms: no more than once, ever."""
        return sum(
            block.created_ns == terms.created_at_ns and block.payee == terms.payee
            for block in self.ledger.blocks
        )


def network(kind: LedgerKind, http: httpx.Client | None = None, origin: str = ORIGIN) -> Network:
    """Build a network whose wallet is funded; without a client, requests go to the replica without a socket."""
    clock = HandClock()
    about = TOKEN_LEDGERS[ASSETS[kind]]
    canister = LedgerCanister(Ledger(about, fee=about.usual_fee_minor))
    replica = Replica(clock, canisters={about.canister: canister})
    client = http or httpx.Client(transport=ReplicaTransport(replica))
    agent = IcAgent(
        origin,
        client,
        Ed25519Signer(hashlib.sha256(b"our wallet").digest()),
        clock,
        Verifier(replica.authority.root.der),
        Patience(looks=4),
        clock.pause,
    )
    rail = Icrc1Rail(agent, about)
    canister.ledger.mint(rail.wallet, FUNDS, clock.now_ns)
    return Network(clock, replica, canister, rail, agent, client)


@contextmanager
def network_on_loopback(kind: LedgerKind) -> Iterator[Network]:
    """Build a network whose replica is spoken to over real HTTP."""
    parts = network(kind)
    parts.http.close()
    with serving(parts.replica.answer) as origin, httpx.Client() as client:
        agent = IcAgent(
            origin,
            client,
            Ed25519Signer(hashlib.sha256(b"our wallet").digest()),
            parts.clock,
            Verifier(parts.replica.authority.root.der),
            Patience(looks=4, timeout_s=5),
            parts.clock.pause,
        )
        rail = Icrc1Rail(agent, parts.rail.ledger)
        yield replace(parts, agent=agent, rail=rail, http=client)
