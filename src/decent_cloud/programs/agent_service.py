"""`dc-agent install-service`: the agent as a hardened systemd service, shown or installed."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import click

from decent_cloud.agent.service import UNIT, Service, install, needs_group, unit_text
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.programs.agent_context import Context, answered

_USUAL_USER = "dc-agent"


@click.command("install-service")
@click.option(
    "--user", default="", metavar="NAME", help="Run as this user; usual: the key's owner."
)
@click.option("--print", "only_print", is_flag=True, help="Show the unit; change nothing.")
@answered
def install_service(context: Context, user: str, only_print: bool) -> None:
    """Install the agent as a hardened systemd service; the same again changes nothing.

    The driver docker needs root for its firewall; without one, a user in the group docker, who is as
    good as root on this host.

    \b
    Examples: sudo dc-agent install-service --user dc-agent
              dc-agent install-service --print
    """  # noqa: D301 - click wants the character itself
    settings = context.settings()
    user = user or _owner(settings.key_file)
    program = Path(shutil.which(sys.argv[0]) or sys.argv[0]).resolve()
    service = Service(settings, context.config.resolve(), program, user)
    text = unit_text(service)
    for note in service.notes:
        click.echo(f"note: {note}", err=True)
    if only_print:
        context.show({"unit": text, "notes": service.notes}, text.rstrip("\n"))
        return
    _check(service)
    changed = install(text)
    _systemctl("daemon-reload")
    _systemctl("enable", UNIT)
    lines = [
        f"{'installed' if changed else 'unchanged'}: {UNIT}, run by {user}",
        f"start it: systemctl {'restart' if changed else 'start'} {UNIT}",
        f"watch it: journalctl -u {UNIT} -f",
    ]
    context.show({"changed": changed, "user": user, "unit": UNIT}, "\n".join(lines))


def _owner(key_file: Path) -> str:
    try:
        return key_file.owner()
    except (OSError, KeyError):
        return _USUAL_USER


def _check(service: Service) -> None:
    """Refuse what would only fail later, with the commands that cure it."""
    if os.geteuid() != 0:
        raise Invalid("only root installs services; run it with sudo, or use --print", field="user")
    try:
        account = pwd.getpwnam(service.user)
    except KeyError as error:
        cure = f"useradd --system --home-dir {service.settings.data_dir} {service.user}"
        raise NotFound(f"there is no user {service.user}; make one with: {cure}") from error
    folder = Path(service.settings.data_dir)
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}; run: dc-agent init")
    if folder.stat().st_uid != account.pw_uid:
        cure = f"chown -R {service.user}: {folder} {service.config}"
        raise Invalid(f"{folder} belongs to another user; run: {cure}", field="user")
    for path in map(Path, service.writes):
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
            os.chown(path, account.pw_uid, account.pw_gid)
    if needs_group(service):
        try:
            grp.getgrnam("docker")
        except KeyError as error:
            cure = "install Docker with its group, or use --user root"
            raise NotFound(f"there is no group docker; {cure}") from error


def _systemctl(*words: str) -> None:
    try:
        done = subprocess.run(
            ["systemctl", *words], check=False, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Invalid(f"the unit is written, but systemctl does not run: {error}") from error
    if done.returncode:
        raise Invalid(f"the unit is written, but systemctl {words[0]} says: {done.stderr.strip()}")
