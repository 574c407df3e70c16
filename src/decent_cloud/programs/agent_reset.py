"""`dc-agent reset-password`: the provider's way to a new password for a tenant, which nobody here sees."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import click

from decent_cloud.agent.daemon import Agent, AgentRunning, NotRegistered, Parts, lock_data_dir
from decent_cloud.agent.journal import PLATFORM_ID, PROVIDER, Journal
from decent_cloud.agent.keys import load_keys
from decent_cloud.agent.one_reset import OneReset
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.resets import ResetFailed, why
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.transport import Transport
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.drivers import registry
from decent_cloud.kernel.clock import SystemClock
from decent_cloud.kernel.ids import AccountId, ContractId
from decent_cloud.kernel.status import ResetState
from decent_cloud.programs.agent_context import Context, answered
from decent_cloud.wire.v1.resets import ResetView


@click.command("reset-password")
@click.option("--contract-id", required=True, help="The contract, as dc-agent status shows it.")
@click.option("--wait", "wait_s", default=600.0, show_default=True, help="Seconds to wait.")
@answered
def reset_password(context: Context, contract_id: str, wait_s: float) -> None:
    """Give a tenant's machine a new password, sealed to the tenant; it is never shown here.

    The running agent does the work; where none runs, this command does.

    Example: dc-agent reset-password --contract-id c01kz3v9t6m8w2r4n5p7q0s1x2
    """
    settings = context.settings()
    keys = load_keys(settings.key_file)
    with context.journal(settings) as journal:
        provider = journal.fact(PROVIDER)
        if not provider:
            raise NotRegistered
        auth = DeviceAuth(AccountId(provider), keys, SystemClock())
        with Transport(settings.platform, auth) as transport:
            one = OneReset(
                AgentApi(transport), journal, ContractId(contract_id), _Saying(context.json)
            )
            ended = _done(one, settings, keys, journal, wait_s)
    if ended.state is not ResetState.VERIFIED:
        raise ResetFailed(why(ended), reset=ended.id, state=ended.state.value)
    text = f"verified: a login worked; the tenant has the new password as credential {ended.n}"
    context.show(ended, text)


def _done(
    one: OneReset, settings: AgentSettings, keys: DeviceKeys, journal: Journal, wait_s: float
) -> ResetView:
    with _free_to_work(settings) as free:
        begun = one.begin()
        if not free:
            return one.follow(begun, wait_s)
        driver = registry.load(settings.driver, settings.driver_settings, journal.fact(PLATFORM_ID))
        agent = Agent(settings, Parts(keys, journal, driver))
        try:
            return one.do(agent, begun, wait_s)
        finally:
            agent.close()


@contextlib.contextmanager
def _free_to_work(settings: AgentSettings) -> Iterator[bool]:
    """Hold the data folder while the block lasts; False if an agent that runs holds it."""
    try:
        lock = lock_data_dir(settings.lock_file)
    except AgentRunning:
        yield False
        return
    try:
        yield True
    finally:
        os.close(lock)


class _Saying:
    """Prints a step once."""

    def __init__(self, hushed: bool) -> None:
        self._hushed = hushed
        self._last = ""

    def __call__(self, text: str) -> None:
        if text != self._last and not self._hushed:
            click.echo(text, err=True)
        self._last = text
