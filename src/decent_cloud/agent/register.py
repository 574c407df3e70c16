"""Joins a provider: through the relay with a setup token, or offline with files. Pins who the platform is.

Nothing secret leaves the machine: the provider's device co-signs a link that names our public key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from decent_cloud.agent.journal import (
    LOG_HASH,
    LOG_SEQ,
    PLATFORM_ID,
    PLATFORM_KEY,
    PLATFORM_ORIGIN,
    POOL,
    PROVIDER,
    Journal,
)
from decent_cloud.agent.keys import public_form
from decent_cloud.agent.records import MAY_EXIST
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.client.agents import AgentApi, PairingApi
from decent_cloud.client.errors import ApiProblem
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.statements import from_wire, verified_chain
from decent_cloud.client.transport import Transport
from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.delegations import verify_delegation
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.errors import BadPairing
from decent_cloud.domain.keys.links import Add, build_add, parse_link
from decent_cloud.domain.keys.pairing import (
    Invitation,
    PairingCode,
    open_invitation,
    open_join,
    parse_code,
    seal_join,
)
from decent_cloud.domain.keys.platform import platform_id_of
from decent_cloud.domain.keys.statements import Statement, signers_of
from decent_cloud.kernel.clock import Clock
from decent_cloud.kernel.errors import Conflict, DecentError, Invalid, Kind, TryLater
from decent_cloud.kernel.ids import AccountId, Kid
from decent_cloud.wire.v1.accounts import ChainView, PlatformView
from decent_cloud.wire.v1.agents import AgentSelf
from decent_cloud.wire.v1.providers import JoinPairing

T = TypeVar("T")

LOOK_EVERY_S = 1.0
Say = Callable[[str], None]


class OtherPlatform(Conflict):
    """This is not the platform that this agent is registered with, and machines of that one are here."""

    code = "other_platform"


class NotApproved(TryLater):
    """The provider did not approve this agent in time; run the same command again."""

    code = "not_approved"


@dataclass(frozen=True, slots=True)
class Registrar:
    """Everything a registration needs; `say` tells a person what is waited for."""

    settings: AgentSettings
    keys: DeviceKeys
    journal: Journal
    clock: Clock
    say: Say
    wait_s: float = 600.0

    def by_code(self, text: str) -> AgentSelf:
        """Register with a setup token; may be run again with the same one after any interruption.

        Errors: BadPairing for a wrong code, NotApproved, OtherPlatform, any `KeyRefused`.
        """
        code = parse_code(text)
        with Transport(self.settings.platform) as open_line:
            platform = self.platform(AgentApi(open_line))
            relay = PairingApi(open_line)
            held = relay.read(code.rid)
            invitation = open_invitation(code, held.old_message)
            chain = self._join(relay, code, invitation)
        return self._finish(platform, chain, held.pool)

    def offline_link(self, view: ChainView) -> Statement:
        """Return the link that adds us to a chain, signed by us; a provider's device co-signs it.

        Errors: any `KeyRefused`; Conflict if we are in the chain already.
        """
        chain = verified_chain(view, AccountId(view.account))
        if self.keys.kid in chain.members:
            raise Conflict("this agent's key is in that chain already; run: dc-agent register")
        return build_add(chain.next_place, public_form(self.keys), [self.keys])

    def accept(self, link: Statement) -> AgentSelf:
        """Finish an offline registration with the link as the provider co-signed it.

        Errors: Invalid for a link that is not ours or not co-signed; NotApproved, OtherPlatform.
        """
        found = parse_link(link.payload)
        if not isinstance(found, Add) or found.device.kid != self.keys.kid:
            raise Invalid("this link adds another device", field="accept")
        if len(signers_of(link)) < 2:
            raise Invalid("the provider has not co-signed this link yet", field="accept")
        with Transport(self.settings.platform) as open_line:
            platform = self.platform(AgentApi(open_line))
        account = found.place.account_id
        with Transport(self.settings.platform, DeviceAuth(account, self.keys)) as line:
            chain = self._until(lambda: self._own_chain(AgentApi(line), account))
        return self._finish(platform, chain, "")

    def platform(self, api: AgentApi) -> PlatformView:
        """Return who the platform is.

        Errors: OtherPlatform if machines of another one are here; KeyRefused for a key that is not its id's.
        """
        view = api.platform()
        if platform_id_of(b64u.decode(view.key)) != view.platform_id:
            raise Invalid("the platform's key does not belong to its id", field="platform")
        pinned = self.journal.fact(PLATFORM_ID)
        if pinned not in {"", view.platform_id} and any(
            each.stage in MAY_EXIST for each in self.journal.instances()
        ):
            raise OtherPlatform
        return view

    def _join(self, relay: PairingApi, code: PairingCode, invitation: Invitation) -> ChainState:
        """Leave our signed link and wait until it is in the chain; sign anew if the chain grew meanwhile."""
        told = False

        def look() -> ChainState | None:
            nonlocal told
            served = relay.chain(code.rid)
            chain = verified_chain(served, invitation.account_id, invitation.pin)
            invitation.check(chain)
            if chain.device(self.keys.kid) is not None:
                return chain
            held = relay.read(code.rid)
            mine = self._our_join(code, held.new_message)
            if mine is None:
                link = build_add(chain.next_place, public_form(self.keys), [self.keys])
                relay.join(code.rid, JoinPairing(message=seal_join(code, link)))
            elif mine.place.prev != chain.head and not told:
                told = True
                self.say("the provider's keys changed meanwhile: run setup-token again there")
            return None

        self.say(f"waiting for the provider to approve {self.keys.kid}")
        return self._until(look)

    def _our_join(self, code: PairingCode, message: str) -> Add | None:
        """Return the link we left, None if there is none. Errors: BadPairing for another device's."""
        if not message:
            return None
        found = parse_link(open_join(code, message).payload)
        if not isinstance(found, Add) or found.device.kid != self.keys.kid:
            raise BadPairing("another device answered under this code; ask for a new one")
        return found

    def _own_chain(self, api: AgentApi, account: AccountId) -> ChainState | None:
        try:
            chain = verified_chain(api.chain(account), account, self.journal.pin(account))
        except ApiProblem as error:
            if error.kind in {Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.NOT_FOUND}:
                return None
            raise
        return chain if chain.device(self.keys.kid) is not None else None

    def _finish(self, platform: PlatformView, chain: ChainState, pool: str) -> AgentSelf:
        """Wait for the delegation, verify it, and pin platform, provider and pool."""
        account = chain.account_id
        with Transport(self.settings.platform, DeviceAuth(account, self.keys)) as line:
            api = AgentApi(line)
            me = self._until(lambda: _me(api))
            newest = verified_chain(api.chain(account), account, chain.pin)
        delegation = verify_delegation(from_wire(me.delegation), newest)
        wanted = (platform.platform_id, account, self.keys.kid)
        if (me.platform_id, me.provider, Kid(me.agent)) != wanted:
            raise Invalid("the platform answers for another agent or platform", field="platform")
        if (delegation.agent, delegation.pool_id) != (self.keys.kid, me.pool):
            raise Invalid("the delegation is for another agent or pool", field="pool")
        if pool and pool != me.pool:
            raise Invalid("the delegation is for another pool than the setup token", field="pool")
        if not delegation.live_at(self.clock.now_ms()):
            raise Invalid("the delegation has run out", field="delegation")
        if me.driver != self.settings.driver:
            raise Invalid(
                f"the pool is for the driver {me.driver}, the settings say {self.settings.driver}",
                field="driver",
            )
        self._pin(platform, newest, me)
        return me

    def _pin(self, platform: PlatformView, chain: ChainState, me: AgentSelf) -> None:
        same_log = (self.journal.fact(PLATFORM_ID), self.journal.fact(POOL)) == (
            platform.platform_id,
            me.pool,
        )
        fresh_log = {} if same_log else {LOG_SEQ: "", LOG_HASH: ""}
        self.journal.set_facts(
            {
                PLATFORM_ORIGIN: self.settings.platform,
                PLATFORM_ID: platform.platform_id,
                PLATFORM_KEY: platform.key,
                PROVIDER: chain.account_id,
                POOL: me.pool,
                **fresh_log,
            }
        )
        self.journal.set_pin(chain.account_id, chain.pin)

    def _until(self, look: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + self.wait_s
        while True:
            try:
                found = look()
            except DecentError as error:
                if error.kind is not Kind.TRY_LATER or time.monotonic() > deadline:
                    raise
                found = None
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise NotApproved
            time.sleep(LOOK_EVERY_S)


def _me(api: AgentApi) -> AgentSelf | None:
    """Return who we are, None before the delegation is there."""
    try:
        return api.me()
    except ApiProblem as error:
        if error.kind in {Kind.UNAUTHENTICATED, Kind.FORBIDDEN}:
            return None
        raise
