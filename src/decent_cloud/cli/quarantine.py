"""`decent agents quarantine`: machines that agents keep aside, and what is to become of each."""

from __future__ import annotations

import click

from decent_cloud.cli import words
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.kernel.clock import SECOND_MS
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.status import AsideWord
from decent_cloud.wire.v1.agents import AsideView, DecideAside

_SAID = {
    AsideWord.NONE: "nothing",
    AsideWord.STOP: "stop",
    AsideWord.DELETE: "delete",
    AsideWord.LEAVE: "leave",
}
_contract = click.argument("contract")
_machine = click.option("--machine", default="", help="Which one, where a contract has several.")
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.group("quarantine")
def quarantine() -> None:
    """Machines with your tag that no agent may use: list, delete, release."""


@quarantine.command("list", cls=Leaf, example="decent agents quarantine list")
@pass_session
def list_asides(session: Session) -> None:
    """List what your agents keep aside: since when, at what cost, and what was decided.

    COST is what the machine would have earned since then at its contract's price.
    """
    found = session.client.providers.asides(session.account)
    if session.out.json:
        session.out.data(found)
        return
    session.out.table(
        ("CONTRACT", "STATE", "MACHINE", "SEEN", "AGE", "COST", "WORD", "WHY"),
        (_row(one) for one in found.items),
        empty="nothing is kept aside",
    )


@quarantine.command(
    "delete", cls=Leaf, example="decent agents quarantine delete c01jd8k2v5t7x9zq3w4e6r8m2np"
)
@_contract
@_machine
@_yes
@pass_session
def delete(session: Session, contract: str, machine: str, yes: bool) -> None:
    """Let the agent delete a machine that it keeps aside, once its grace period is over."""
    one = _find(session, contract, machine)
    session.out.say(f"{one.instance}: {one.reason}")
    session.out.ask("Delete this machine with everything on it?", yes=yes)
    _decide(session, one, AsideWord.DELETE)


@quarantine.command(
    "release", cls=Leaf, example="decent agents quarantine release c01jd8k2v5t7x9zq3w4e6r8m2np"
)
@_contract
@_machine
@pass_session
def release(session: Session, contract: str, machine: str) -> None:
    """Leave a machine as it is: it is known and wanted; the alarm goes down."""
    _decide(session, _find(session, contract, machine), AsideWord.LEAVE)


def _decide(session: Session, one: AsideView, word: AsideWord) -> None:
    body = DecideAside(agent=one.agent, instance=one.instance, word=word)
    found = session.client.providers.decide_aside(session.account, body)
    if session.out.json:
        session.out.data(found)
        return
    session.out.line(f"{found.instance}: {_SAID[found.word]}")


def _find(session: Session, contract: str, machine: str) -> AsideView:
    found = [
        one
        for one in session.client.providers.asides(session.account).items
        if one.contract == contract and machine in {"", one.instance}
    ]
    if not found:
        raise NotFound("no agent of yours keeps such a machine aside", field="contract")
    if len(found) > 1:
        names = ", ".join(one.instance for one in found)
        raise Invalid(f"{len(found)} machines of this contract are aside: {names}", field="machine")
    return found[0]


def _row(one: AsideView) -> tuple[str, ...]:
    return (
        one.contract,
        one.contract_state.value if one.contract_state else "unknown",
        one.instance,
        one.state.value,
        words.duration(one.age_s * SECOND_MS),
        words.amount(one.cost) if one.cost else "-",
        _SAID[one.word],
        one.reason,
    )
