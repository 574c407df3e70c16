"""`dc-agent setup`: asks, checks the backend, writes the settings, makes keys, and registers last of all."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click

from decent_cloud.agent.config_file import read_table, write_table, write_token
from decent_cloud.agent.journal import PLATFORM_ID
from decent_cloud.agent.keys import load_keys, make_keys
from decent_cloud.agent.register import Registrar
from decent_cloud.agent.settings import AgentSettings
from decent_cloud.drivers import registry
from decent_cloud.drivers.contract import Check, Secret
from decent_cloud.drivers.proxmox.settings import read_settings as read_proxmox
from decent_cloud.drivers.proxmox.template import TemplateRequest, make_template
from decent_cloud.kernel.clock import SystemClock
from decent_cloud.kernel.errors import AlreadyExists, Invalid
from decent_cloud.programs.agent_context import Context, answered

UNWELL = 1
_WITH_TOKEN = {
    "hetzner": "the project's API token (Read & Write)",
    "digitalocean": "an API token (read and write)",
    "vultr": "the API key",
    "proxmox": "the API token (user@realm!name=secret)",
}
_ASKED = {
    "proxmox": {
        "api": "Address of the API (https://host:8006)",
        "node": "Node that makes the machines",
        "storage": "Storage for their disks",
        "first_vmid": "First VM id that is this agent's alone",
        "last_vmid": "Last one",
    }
}
_OWN_HOST = frozenset({"docker", "sandbox"})


@click.command()
@click.argument("driver")
@click.option("--platform", default="", metavar="URL", help="The platform's address.")
@click.option("--data-dir", default="", metavar="FOLDER", help="Where keys and journal are.")
@click.option(
    "--public-host", default="", help="Name or address under which tenants reach this host."
)
@click.option(
    "--token-from",
    type=click.File("r"),
    help="Read the backend's token from this file (- is standard input) rather than ask.",
)
@click.option(
    "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A setting of the driver."
)
@click.option("--template-vmid", default=0, help="Proxmox: id of the template to make.")
@click.option("--template-name", default="debian-12", show_default=True, help="Its image name.")
@click.option("--template-url", default="", help="Cloud image to make it of (https).")
@click.option("--template-checksum", default="", help="sha256:HEX or sha512:HEX of that image.")
@click.option("--template-address", default="", help="Its free address where there is no DHCP.")
@click.option("--code", default="", help="The setup token; asked for, and used last, if not given.")
@click.option("--no-register", is_flag=True, help="Stop before the registration.")
@click.option("--wait", "wait_s", default=600.0, show_default=True, help="Seconds to wait.")
@answered
def setup(context: Context, /, **given: Any) -> None:
    """Set this agent up for a backend; run it again after any interruption and it goes on.

    What was answered is kept in the settings file. The setup token is used when all else works.

    \b
    Examples: dc-agent setup docker --platform https://cloud.example
              dc-agent setup hetzner --token-from token.txt --no-register
    """  # noqa: D301 - click wants the character itself
    wish = _Wish(**given)
    table = read_table(context.config)
    _check_wish(wish, table, context.config)
    _answer_all(wish, table)
    write_table(context.config, table)
    settings = context.settings()
    say = _hush if context.json else _say
    if wish.template_url:
        make_template(read_proxmox(settings.driver_settings), wish.template(), say)
    kid = _make_keys(settings)
    failed = [check for check in _checks(settings) if not check.passed]
    if failed:
        _tell_failed(context, failed)
        sys.exit(UNWELL)
    registered = _register(context, settings, wish)
    steps = _next_steps(context.config, registered=registered)
    done = {"ready": True, "registered": registered, "agent": kid, "next": steps}
    context.show(done, "\n".join(["everything works. Next:", *(f"  {each}" for each in steps)]))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command was given, by the names of its options."""

    driver: str
    platform: str
    data_dir: str
    public_host: str
    token_from: TextIO | None
    pairs: tuple[str, ...]
    template_vmid: int
    template_name: str
    template_url: str
    template_checksum: str
    template_address: str
    code: str
    no_register: bool
    wait_s: float

    def template(self) -> TemplateRequest:
        return TemplateRequest(
            self.template_vmid,
            self.template_name,
            self.template_url,
            self.template_checksum,
            self.template_address,
        )


def _check_wish(wish: _Wish, table: dict[str, object], config: Path) -> None:
    """Refuse what does not fit together, or the settings that are kept. Errors: Invalid."""
    if wish.driver not in registry.known():
        raise Invalid(f"known drivers: {', '.join(registry.known())}", field="driver")
    if wish.driver != "proxmox" and (wish.template_vmid or wish.template_url):
        raise Invalid("templates are made for proxmox only", field="template-url")
    if wish.template_url and not wish.template_vmid:
        raise Invalid("say which id the template gets with --template-vmid", field="template-vmid")
    if table.get("driver", wish.driver) != wish.driver:
        raise Invalid(
            f"{config} is for the driver {table['driver']!r}; give another file with --config",
            field="driver",
        )


def _answer_all(wish: _Wish, table: dict[str, object]) -> None:
    """Put every answer into the table; the token goes into its own file. Errors: Invalid."""
    driver = wish.driver
    table["driver"] = driver
    _answer(table, "platform", wish.platform, "Address of the platform")
    _answer(table, "data_dir", wish.data_dir, "Folder for keys and journal", "/var/lib/dc-agent")
    if driver in _OWN_HOST or wish.public_host:
        question = "Name under which tenants reach this host"
        _answer(table, "public_host", wish.public_host, question)
    own = _table(table, "driver_settings")
    own.update(_given(wish.pairs))
    for name, question in _ASKED.get(driver, {}).items():
        _answer(own, name, "", question)
    if driver in _WITH_TOKEN:
        token = wish.token_from.read() if wish.token_from is not None else ""
        _token(own, Path(str(table["data_dir"])), token, _WITH_TOKEN[driver])
    if wish.template_vmid:
        _table(own, "images")[wish.template_name] = wish.template_vmid


def _tell_failed(context: Context, failed: list[Check]) -> None:
    lines = [f"FAIL  {e.name}: {e.detail}\n      cure: {e.cure}" for e in failed]
    lines.append("nothing was registered and no setup token used; cure it and run this again")
    context.show({"ready": False, "failed": failed}, "\n".join(lines))


def _table(table: dict[str, object], name: str) -> dict[str, object]:
    found = table.setdefault(name, {})
    if not isinstance(found, dict):
        raise Invalid("is a table", field=name)
    return found


def _answer(
    table: dict[str, object], name: str, given: str, question: str, usual: str = ""
) -> None:
    """Take what was given, else what is kept, else ask. Errors: Invalid where nobody can be asked."""
    if given:
        table[name] = given
    if name in table:
        return
    if not sys.stdin.isatty():
        if not usual:
            raise Invalid(f"nobody can be asked here; say: {question}", field=name)
        table[name] = usual
        return
    answer = click.prompt(question, default=usual or None, err=True)
    table[name] = int(answer) if name.endswith("vmid") and answer.isdigit() else answer


def _token(own: dict[str, object], folder: Path, given: str, what: str) -> None:
    """Put the token into its file; never an argument, never shown."""
    path = Path(str(own.setdefault("token_file", str(folder / "backend.token"))))
    if not given and path.exists():
        return
    if not given:
        if not sys.stdin.isatty():
            raise Invalid("nobody can be asked here; give --token-from FILE", field="token")
        given = click.prompt(f"Paste {what}", hide_input=True, err=True)
    write_token(path, Secret(given))


def _given(pairs: tuple[str, ...]) -> dict[str, object]:
    """Read NAME=VALUE as TOML; what is none is a text."""
    found: dict[str, object] = {}
    for each in pairs:
        name, sign, value = each.partition("=")
        if not name or not sign:
            raise Invalid("write NAME=VALUE", field="set")
        try:
            found[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = value
    return found


def _make_keys(settings: AgentSettings) -> str:
    try:
        return make_keys(settings.key_file).kid
    except AlreadyExists:
        return load_keys(settings.key_file).kid


def _checks(settings: AgentSettings) -> tuple[Check, ...]:
    driver = registry.load(settings.driver, settings.driver_settings, "setup")
    try:
        return driver.probe().checks
    finally:
        driver.close()


def _register(context: Context, settings: AgentSettings, wish: _Wish) -> bool:
    code = wish.code
    with context.journal(settings) as journal:
        if journal.fact(PLATFORM_ID):
            return True
        if wish.no_register:
            return False
        if not code:
            if not sys.stdin.isatty():
                raise Invalid("give the setup token with --code, or --no-register", field="code")
            code = click.prompt("Setup token (decent setup-token create --pool POOL)", err=True)
        keys = load_keys(settings.key_file)
        say = _hush if context.json else _say
        Registrar(settings, keys, journal, SystemClock(), say, wish.wait_s).by_code(code)
    return True


def _next_steps(config: Path, *, registered: bool) -> list[str]:
    program = f"dc-agent --config {config}"
    first = [] if registered else [f"{program} register CODE"]
    more = ["doctor", "test-provision", "install-service"]
    return [*first, *(f"{program} {each}" for each in more)]


def _say(text: str) -> None:
    click.echo(text, err=True)


def _hush(_text: str) -> None:
    """A program reads; it gets the result only."""
