"""`decent setup-token` and `decent agents`: how agents join, what they may do, and how that ends."""

from __future__ import annotations

import re
import secrets
import sys
import time
from pathlib import Path

import click

from decent_cloud.cli import words
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.quarantine import quarantine
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.client import enrolment
from decent_cloud.client.enrolment import USUAL_PERMISSIONS, Grant, LinkOutdated
from decent_cloud.client.rentals import Signer
from decent_cloud.client.statements import to_wire
from decent_cloud.domain.keys.devices import Device
from decent_cloud.domain.keys.pairing import (
    CODE_BYTES,
    PairingCode,
    code_from_random,
    open_join,
    parse_code,
    seal_invitation,
)
from decent_cloud.domain.keys.statements import Statement, statement_from_json
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import DAY_MS, SECOND_MS
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.ids import PoolId
from decent_cloud.kernel.status import Permission
from decent_cloud.wire.v1.agents import AgentView, DelegationView
from decent_cloud.wire.v1.providers import OpenPairing, PairingView, PoolView

POLL_S = 0.25
_KID = re.compile(r"[A-Za-z0-9_-]{22}")
TOKEN_LIVES_S = 86_400


@click.group("setup-token")
def setup_token() -> None:
    """Let a new agent join a pool."""


@click.group("agents")
def agents() -> None:
    """Your agents: list, approve, revoke."""


agents.add_command(quarantine)
_label = click.option("--label", default="", help="A name for people, such as the host's.")
_permission = click.option(
    "--permission",
    "permissions",
    multiple=True,
    type=click.Choice([one.value for one in Permission]),
    help="What the agent may do (repeat). Usual: all.",
)
_days = click.option(
    "--days", type=click.IntRange(1, 3650), help="End the delegation after so many days."
)
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@setup_token.command("create", cls=Leaf, example="decent setup-token create --pool basement --wait")
@click.option("--pool", required=True, help="The pool's name or id.")
@click.option("--wait", is_flag=True, help="Wait for the agent and take it in.")
@_label
@_permission
@_days
@_yes
@pass_session
def create_token(
    session: Session,
    pool: str,
    wait: bool,
    label: str,
    permissions: tuple[str, ...],
    days: int | None,
    yes: bool,
) -> None:
    """Make a one-time code with which an agent joins a pool; it is good for a day.

    The code opens two sealed messages; the platform can read neither. Type it on the agent's host:
    dc-agent register. With --json two lines are printed: the code, then the agent that joined.
    """
    place = session.client.providers.find_pool(pool)
    code = code_from_random(secrets.token_bytes(CODE_BYTES))
    opened = _open(session, code, place.id)
    _show_code(session, code, opened, place, wait=wait)
    if not wait:
        return
    grant = _grant(session, place.id, permissions, days, label)
    while True:
        link = _await_join(session, code)
        try:
            agent = enrolment.joining_agent(link, session.signer.chain)
            _ask(session, agent, grant, yes=yes or not sys.stdin.isatty())
            _show_joined(session, enrolment.enrol(session.client, session.signer, link, grant))
        except LinkOutdated:
            # The agent sees the new invitation and signs its link on the new head.
            _refresh(session)
            _open(session, code, place.id)
            continue
        return


@agents.command("list", cls=Leaf, example="decent agents list")
@pass_session
def list_agents(session: Session) -> None:
    """List your agents: whether each is alive, and what it may do."""
    found = session.client.providers.agents(session.account)
    if session.out.json:
        session.out.data(found)
        return
    session.out.table(
        ("AGENT", "LABEL", "POOL", "STATUS", "DRIVER", "MACHINES", "FREE", "LAST SEEN", "ALARMS"),
        (_row(one, session.now_ms()) for one in found.items),
        empty="no agents yet: decent setup-token create --pool POOL --wait",
    )


@agents.command(
    "show",
    cls=Leaf,
    example="decent agents show oJvjLvPUI8G0lwKih8xaTg",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.argument("agent")
@pass_session
def show_agent(session: Session, agent: str) -> None:
    """Show one AGENT: where it runs, what it has, what is wrong."""
    found = session.client.providers.agents(session.account)
    one = next((each for each in found.items if each.agent == agent), None)
    if one is None:
        raise NotFound(f"you have no agent {agent}; see: decent agents list", field="agent")
    if session.out.json:
        session.out.data(one)
        return
    session.out.fields(
        [
            ("agent", f"{one.agent} {one.label}".strip()),
            ("pool", one.pool),
            ("status", one.status.value),
            ("last seen", words.when(one.last_seen_at, session.now_ms())),
            ("host", one.host or "-"),
            ("version", one.version or "-"),
            ("driver", f"{one.driver} {one.driver_version}".strip() or "-"),
            ("backend", one.scope or "-"),
            ("machines", f"{one.instances}, {one.running} running"),
            ("room for", "not known" if one.free is None else str(one.free)),
            ("aside", str(one.asides)),
            *(("alarm", alarm) for alarm in one.alarms),
        ]
    )


@agents.command(
    "approve",
    cls=Leaf,
    example="decent agents approve 7KQF2-M9XPD-3AWZ6-T8RHC\n"
    "decent agents approve --file add.json --pool basement --out cosigned.json",
)
@click.argument("code", required=False, default="")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    help="The link that an agent signed, brought here by hand.",
)
@click.option("--pool", default="", help="The pool (with --file).")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the co-signed link here, for: dc-agent register --accept.",
)
@_label
@_permission
@_days
@_yes
@pass_session
def approve(
    session: Session,
    code: str,
    file: Path | None,
    pool: str,
    out: Path | None,
    label: str,
    permissions: tuple[str, ...],
    days: int | None,
    yes: bool,
) -> None:
    """Take in an agent that answered under CODE, or whose link is in a file.

    For an agent that is brought in by hand: decent account chain > chain.json; there dc-agent
    register --offline --chain chain.json --out add.json; here this command with --file add.json
    --out cosigned.json; there dc-agent register --accept cosigned.json.
    """
    if (file is None) == (not code):
        raise Invalid("give the setup token's CODE, or --file with the agent's link", field="code")
    if file is not None:
        if not pool:
            raise Invalid("with --file, say which pool: --pool NAME", field="pool")
        link, place = _link_in(file), session.client.providers.find_pool(pool).id
    else:
        link, place = _answered(session, parse_code(code))
    agent = enrolment.joining_agent(link, session.signer.chain)
    grant = _grant(session, place, permissions, days, label)
    _ask(session, agent, grant, yes=yes)
    joined = enrolment.enrol(session.client, session.signer, link, grant)
    if out is not None:
        whole = to_wire(enrolment.cosigned(link, session.keys))
        out.write_bytes(codec.to_json(whole) + b"\n")
    _show_joined(session, joined)


@agents.command(
    "revoke",
    cls=Leaf,
    example="decent agents revoke oJvjLvPUI8G0lwKih8xaTg",
    # An agent's id may begin with a dash: no short options here, and no unknown ones.
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.argument("agent")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def revoke(session: Session, agent: str, yes: bool) -> None:
    """End what AGENT may do, at once; its machines stay until another agent takes over."""
    if not _KID.fullmatch(agent):
        raise Invalid(f"{agent!r} is no agent's id; see: decent agents list", field="agent")
    session.out.ask(f"Revoke agent {agent}?", yes=yes)
    found = enrolment.revoke(session.client, session.signer, agent)
    if session.out.json:
        session.out.data(found)
        return
    session.out.line(f"revoked {found.agent}")


def _open(session: Session, code: PairingCode, pool: str) -> PairingView:
    message = seal_invitation(code, session.signer.chain)
    return session.client.pairing.open(
        code.rid, OpenPairing(message=message, pool=pool, ttl_s=TOKEN_LIVES_S)
    )


def _refresh(session: Session) -> Signer:
    """Read the own chain again."""
    session.__dict__.pop("signer", None)
    return session.signer


def _show_code(
    session: Session, code: PairingCode, opened: PairingView, pool: PoolView, *, wait: bool
) -> None:
    if session.out.json:
        session.out.data(
            {
                "code": code.text,
                "rid": opened.rid,
                "pool": pool.id,
                "pool_name": pool.name,
                "provider": session.account,
                "expires_at": opened.expires_at,
            }
        )
        return
    session.out.fields(
        [
            ("code", code.text),
            ("pool", f"{pool.name} ({pool.id})"),
            ("expires", words.when(opened.expires_at, session.now_ms())),
        ]
    )
    session.out.say(f"on the agent's host: dc-agent register {code.text}")
    if wait:
        session.out.say(
            "waiting for the agent (Ctrl-C: go on later with decent agents approve CODE)"
        )
    else:
        session.out.say("then here: decent agents approve CODE")


def _await_join(session: Session, code: PairingCode) -> Statement:
    """Wait until the relay holds the agent's message."""
    while True:
        found = session.client.pairing.read(code.rid)
        if found.new_message:
            return open_join(code, found.new_message)
        time.sleep(POLL_S)


def _answered(session: Session, code: PairingCode) -> tuple[Statement, PoolId]:
    found = session.client.pairing.read(code.rid)
    if not found.new_message:
        raise NotFound("no agent has answered under this code yet", field="code")
    if not found.pool:
        raise Invalid("this code is for a device, not for an agent", field="code")
    return open_join(code, found.new_message), PoolId(found.pool)


def _link_in(file: Path) -> Statement:
    """Read a statement, bare or as the `link` of an object."""
    try:
        shape = codec.from_json(file.read_bytes(), dict[str, object])
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}", field="file") from None
    return statement_from_json(shape.get("link", shape))


def _grant(
    session: Session, pool: str, permissions: tuple[str, ...], days: int | None, label: str
) -> Grant:
    wanted = tuple(Permission(one) for one in permissions) or USUAL_PERMISSIONS
    end_s = (session.now_ms() + days * DAY_MS) // SECOND_MS if days else 0
    return Grant(PoolId(pool), wanted, end_s, label)


def _ask(session: Session, agent: Device, grant: Grant, *, yes: bool) -> None:
    session.out.say(f"joins: {agent.type.value} {agent.kid}, rank {int(agent.rank)}")
    session.out.say(f"may: {', '.join(sorted(one.value for one in grant.permissions))}")
    session.out.ask("Let it act for you?", yes=yes)


def _show_joined(session: Session, found: DelegationView) -> None:
    if session.out.json:
        session.out.data(found)
        return
    session.out.fields(
        [
            ("agent", found.agent),
            ("pool", found.pool),
            ("may", ", ".join(one.value for one in found.permissions)),
        ]
    )


def _row(found: AgentView, now_ms: int) -> tuple[str, ...]:
    return (
        found.agent,
        found.label or "-",
        found.pool,
        found.status.value,
        found.driver or "-",
        str(found.instances),
        "-" if found.free is None else str(found.free),
        words.when(found.last_seen_at, now_ms),
        "; ".join(found.alarms) or "-",
    )
