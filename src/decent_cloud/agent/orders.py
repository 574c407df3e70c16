"""Checks, before anything is made or changed, that a tenant's device ordered just this from just us."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import sha256

from decent_cloud.agent.journal import Journal
from decent_cloud.agent.records import KnownList
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.statements import from_wire, verified_chain
from decent_cloud.domain.keys import canonical
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.errors import KeyRefused
from decent_cloud.domain.keys.first_scripts import FirstScript, script_hash, script_in
from decent_cloud.domain.keys.key_lists import KeyList, verify_key_list
from decent_cloud.domain.keys.offers import verify_offer
from decent_cloud.domain.keys.orders import Order, parse_order, verify_order
from decent_cloud.domain.keys.statements import StatementType, digest_of
from decent_cloud.drivers.contract import FirstRun, SshKey
from decent_cloud.kernel.clock import DAY_MS
from decent_cloud.kernel.errors import DecentError, Invalid, Kind
from decent_cloud.kernel.ids import AccountId, ContractId, Digest
from decent_cloud.wire.v1.agents import AssignmentView, InstanceTerms

LATEST_AFTER_MS = 12 * DAY_MS  # an order is not fulfilled later than this after its `not_after`
_BINDING = ("image", "cpu_milli", "memory_mib", "disk_gib")


class OrderRefused(DecentError):
    """The order does not fit what the platform asks for; nothing is made."""

    code = "order_refused"
    kind = Kind.INVALID


@dataclass(frozen=True, slots=True)
class Wanted:
    """A verified order, the tenant's chain to seal to, and the keys that may log in."""

    order: Order
    tenant: ChainState
    ssh_keys: tuple[SshKey, ...]


class KeyListRefused(OrderRefused):
    """The SSH key list is not one that the tenant wants now; nothing is changed."""

    code = "key_list_refused"


class Orders:
    """Verifies orders and key lists; offers that were verified once are remembered by their hash."""

    def __init__(self, api: AgentApi, journal: Journal, provider: AccountId) -> None:
        self._api = api
        self._journal = journal
        self._provider = provider
        self._lock = threading.Lock()
        self._offers: dict[Digest, dict[str, canonical.Json]] = {}

    def verify(self, assignment: AssignmentView, now_ms: int) -> Wanted:
        """Return what was ordered.

        Errors: OrderRefused; a `UnknownHead` (try later) where the served chain is behind the order;
        whatever the platform's answers raise.
        """
        tenant = self._chain(AccountId(assignment.tenant))
        try:
            # Accepted by the platform before: the device may have been revoked since.
            order = verify_order(from_wire(assignment.order), tenant, first_seen=False)
        except KeyRefused as error:
            if error.kind is Kind.TRY_LATER:
                raise
            raise OrderRefused(f"the order does not verify: {error.message}") from error
        self._check(order, assignment, now_ms)
        self._check_offer(order, assignment.terms)
        try:
            keys = tuple(SshKey.parse(line) for line in order.ssh_keys)
        except Invalid as error:
            raise OrderRefused(f"an SSH key of the order is not usable: {error.message}") from error
        return Wanted(order, tenant, keys)

    def key_list(self, assignment: AssignmentView, known: KnownList) -> KeyList | None:
        """Return the newest list of SSH keys that the tenant signed since the order, if there is any.

        `known` is what was accepted here before: the platform cannot go behind it. Errors: KeyListRefused;
        an `UnknownHead` (try later); whatever the platform's answers raise.
        """
        if assignment.key_list is None:
            if known.n:
                raise KeyListRefused(f"the platform does not show list {known.n} any more")
            return None
        tenant = self._chain(AccountId(assignment.tenant))
        try:
            statement = from_wire(assignment.key_list)
            seen = digest_of(StatementType.KEY_LIST, statement.payload) == known.digest
            wish = verify_key_list(
                statement, tenant, Digest(assignment.digest), first_seen=not seen
            )
        except KeyRefused as error:
            if error.kind is Kind.TRY_LATER:
                raise
            raise KeyListRefused(f"the list does not verify: {error.message}") from error
        if wish.number < known.n or (wish.number == known.n and not seen):
            raise KeyListRefused(f"list {wish.number} comes after list {known.n}, which is newer")
        return wish

    def first_script(self, assignment: AssignmentView) -> FirstRun | None:
        """Return what is to run in the contract's machine, if the provider's signed offer says just that.

        The platform cannot slip another script in: the tenant's order names the offer, the offer the
        terms, and the terms the script by its hash.
        Errors: OrderRefused; whatever the platform's answers raise.
        """
        shown = assignment.terms.first_script
        if shown is None:
            return None
        order = parse_order(canonical.parse(from_wire(assignment.order).payload))
        if order.digest != assignment.digest:
            raise OrderRefused("the order is not the one that this contract is named after")
        served = self._api.first_script(ContractId(assignment.contract))
        try:
            offer = verify_offer(
                from_wire(served.offer), self._chain(self._provider), first_seen=False
            )
            script = script_in(canonical.parse(served.terms.encode()))
        except KeyRefused as error:
            raise OrderRefused(f"the offer does not verify: {error.message}") from error
        if offer.digest != order.offer_digest or offer.terms != _hash_of_terms(served.terms):
            raise OrderRefused("the offer with the first script is not the one that was ordered")
        asked = FirstScript(shown.kind, Digest(shown.sha256), shown.timeout_s, shown.on_failure)
        if script != asked or script_hash(served.text) != asked.sha256:
            raise OrderRefused("the first script is not the one that the offer names")
        return FirstRun(asked.kind, served.text, asked.timeout_s)

    def _check(self, order: Order, assignment: AssignmentView, now_ms: int) -> None:
        if order.digest != assignment.digest or order.extends is not None:
            raise OrderRefused("the order is not the one that this contract is named after")
        if order.provider != self._provider:
            raise OrderRefused("the order is for another provider")
        if now_ms > order.not_after_s * 1_000 + LATEST_AFTER_MS:
            raise OrderRefused("the order is too old to be fulfilled")

    def _check_offer(self, order: Order, terms: InstanceTerms) -> None:
        """Compare what is asked for with the offer that the tenant signed under.

        An offer that was changed since and that this agent never saw cannot be compared.
        """
        with self._lock:
            signed = self._offers.get(order.offer_digest)
        if signed is None:
            signed = self._load_offer(order)
        if signed is None:
            return
        for name in _BINDING:
            if signed.get(name) != getattr(terms, name):
                raise OrderRefused(f"the contract's {name} is not what the offer said")
        if terms.first_script is None and script_in(signed) is not None:
            raise OrderRefused("the offer has a first script, and the contract leaves it out")
        if terms.management_key and signed.get("management_key") != "yes":
            raise OrderRefused("the offer allows no management key in the machine")

    def _load_offer(self, order: Order) -> dict[str, canonical.Json] | None:
        try:
            view = self._api.offering(order.offering_id)
        except DecentError as error:
            if error.kind in {Kind.NOT_FOUND, Kind.FORBIDDEN}:
                return None
            raise
        if view.offer is None or view.offer_hash != order.offer_digest:
            return None
        try:
            offer = verify_offer(
                from_wire(view.offer), self._chain(self._provider), first_seen=False
            )
            terms = canonical.parse(view.terms.encode())
        except KeyRefused as error:
            raise OrderRefused(f"the offer does not verify: {error.message}") from error
        if offer.digest != order.offer_digest or offer.terms != _hash_of_terms(view.terms):
            raise OrderRefused("the offer is not the one that was ordered")
        if not isinstance(terms, dict):
            raise OrderRefused("the offer's terms are not an object")
        with self._lock:
            self._offers[order.offer_digest] = terms
        return terms

    def chain(self, account: AccountId) -> ChainState:
        """Return a tenant's verified chain, to seal to its newest generation.

        Errors: any `KeyRefused`; whatever the platform's answers raise.
        """
        return self._chain(account)

    def _chain(self, account: AccountId) -> ChainState:
        """Load and verify a chain; refuse one that contradicts what was seen before."""
        view = self._api.chain(account)
        chain = verified_chain(view, account, self._journal.pin(account))
        self._journal.set_pin(account, chain.pin)
        return chain


def _hash_of_terms(terms: str) -> Digest:
    return Digest(sha256(terms.encode()).hexdigest())
