"""`dc-agent manual`: people say what they made, could not make, and removed."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from decent_cloud.agent.settings import AgentSettings
from decent_cloud.drivers.manual.driver import NAME
from decent_cloud.drivers.manual.notice import to_do
from decent_cloud.drivers.manual.requests import WAITING, Request, Requests, Step
from decent_cloud.drivers.manual.settings import read_settings
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import SystemClock, rfc3339
from decent_cloud.kernel.errors import AlreadyExists, Invalid, NotFound
from decent_cloud.programs.agent_context import Context, answered


@click.group()
def manual() -> None:
    """Make and remove machines by hand, where the driver is `manual`.

    Example: dc-agent manual list
    """


@manual.command("list")
@click.option("--all", "ended_too", is_flag=True, help="Show failed and removed ones too.")
@answered
def list_(context: Context, ended_too: bool) -> None:
    """Show what is asked for, and what runs.

    Example: dc-agent manual list
    """
    ended = {Step.GONE, Step.FAILED}
    found = [each for each in _requests(context).all() if ended_too or each.step not in ended]
    lines = [_line(each) for each in found] or ["nothing is asked for"]
    context.show([_public(each) for each in found], "\n".join(lines))


@manual.command()
@click.argument("contract")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new folder for what goes into the machine: host key, authorized keys, password hash.",
)
@click.option("--key", type=click.Path(path_type=Path), help="The key file, if it was moved.")
@answered
def show(context: Context, contract: str, into: Path | None, key: Path | None) -> None:
    """Show one request, and write the files of its machine.

    Install host_key as /etc/ssh/ssh_host_ed25519_key, append authorized_keys, and set the hash with
    chpasswd -e; then delete the folder.

    Example: dc-agent manual show c4f7qk2m --into /root/c4f7qk2m
    """
    requests = _requests(context)
    found = requests.newest(contract)
    if into is not None:
        _write_files(requests, found, into, key or requests.key_file)
    text = f"{_line(found)}\nhost key  {found.host_key}\nwanted    {found.wanted}"
    if into is not None:
        text += f"\nwrote     {into}: host_key, authorized_keys, password_hash, user_data; delete it afterwards"
    context.show({**_public(found), "into": str(into or "")}, text)


@manual.command()
@click.argument("contract")
@click.option("--host", required=True, help="Name or address under which the tenant reaches it.")
@click.option("--port", type=click.IntRange(1, 65_535), default=22, show_default=True)
@click.option("--host-key", required=True, help="What it shows: ssh-keyscan -t ed25519 HOST")
@answered
def complete(context: Context, contract: str, host: str, port: int, host_key: str) -> None:
    """Say that the machine runs, and where.

    Example: dc-agent manual complete c4f7qk2m --host 203.0.113.7 --host-key "ssh-ed25519 AAAA..."
    """
    _say(context, _requests(context).complete(contract, host, port, host_key))


@manual.command()
@click.argument("contract")
@click.option("--reason", required=True, help="What the tenant will read.")
@answered
def fail(context: Context, contract: str, reason: str) -> None:
    """Say that the machine cannot be made; the tenant gets the money back.

    Example: dc-agent manual fail c4f7qk2m --reason "the board did not arrive"
    """
    if not reason.strip():
        raise Invalid("say why, the tenant will read it", field="reason")
    _say(context, _requests(context).fail(contract, reason.strip()))


@manual.command()
@click.argument("contract")
@click.option("--lost", is_flag=True, help="It was not asked to be removed: it broke for good.")
@answered
def gone(context: Context, contract: str, lost: bool) -> None:
    """Say that the machine and its data are removed.

    Example: dc-agent manual gone c4f7qk2m
    """
    _say(context, _requests(context).gone(contract, lost=lost))


def waiting_lines(settings: AgentSettings) -> list[str]:
    """Return what people have to do, for `dc-agent status`; nothing with other drivers."""
    if settings.driver != NAME:
        return []
    path = Path(read_settings(settings.driver_settings).path)
    if not path.exists():
        return []
    waiting = [each for each in Requests(path, SystemClock()).all() if each.step in WAITING]
    return [f"to do     {each.contract}: {to_do(each)}" for each in waiting]


def _requests(context: Context) -> Requests:
    settings = context.settings()
    if settings.driver != NAME:
        raise Invalid(f"this agent's driver is {settings.driver!r}, not {NAME!r}", field="driver")
    path = Path(read_settings(settings.driver_settings).path)
    if not path.exists():
        raise NotFound(f"there is no {path} yet; the agent makes it when it runs")
    return Requests(path, SystemClock())


def _say(context: Context, request: Request) -> None:
    context.show(_public(request), _line(request))


def _line(request: Request) -> str:
    where = f" at {request.host}:{request.port}" if request.host else ""
    since = rfc3339(request.changed_at_ms)
    more = f": {request.reason}" if request.reason else ""
    line = f"{request.contract}  {request.step}{where} since {since}{more}"
    return f"{line}\n  {to_do(request)}" if to_do(request) else line


def _public(request: Request) -> dict[str, object]:
    return {
        "contract": request.contract,
        "step": request.step.value,
        "host": request.host,
        "port": request.port,
        "host_key": request.host_key,
        "reason": request.reason,
        "wanted": msgspec.json.decode(request.wanted),
        "to_do": to_do(request),
        "changed_at": rfc3339(request.changed_at_ms),
    }


def _write_files(requests: Requests, request: Request, folder: Path, key: Path) -> None:
    """Write what goes into the machine; nothing that is there already is written over."""
    private, password_hash = requests.secrets_of(request.contract, key)
    wanted = codec.from_json(request.wanted, dict[str, object])
    keys = codec.convert(wanted["ssh_keys"], list[str])
    management = str(wanted["management_key"])
    texts = {
        "host_key": private.reveal(),
        "authorized_keys": "".join(f"{line}\n" for line in [*keys, management] if line),
        "password_hash": f"{wanted['user']}:{password_hash.reveal()}\n",
        "user_data": str(wanted["user_data"]),
    }
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError as error:
        raise AlreadyExists(f"{folder} exists; give a new folder", field="into") from error
    except OSError as error:
        raise Invalid(f"{folder}: {error.strerror}", field="into") from error
    for name, text in texts.items():
        number = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w") as file:
            file.write(text)
