"""The journey itself, step by step, over the same commands that people type."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from demo.narrator import Narrator, StepFailed
from demo.places import Place
from demo.stage import DC_AGENT, DECENT, Person, Stage, wait_for

PRICE_MINOR_PER_HOUR = 600
HOURS = 4


@dataclass(slots=True)
class Cast:
    """Everybody and everything on stage."""

    stage: Stage
    place: Place
    url: str
    provider: Person
    tenant: Person
    agent_config: Path
    agent: subprocess.Popen[bytes]
    offering: str
    ssh_key: Path
    contracts: list[str]


def set_up(narrator: Narrator, stage: Stage, place: Place) -> Cast:
    """Start platform and agent, list an offering, make a tenant."""
    with narrator.step(place.title):
        narrator.say(place.look())
    with narrator.step("The platform starts on SQLite, in development mode"):
        url = _start_platform(stage)
        narrator.say(url)
    provider = Person("provider", stage.folder / "provider", url)
    tenant = Person("tenant", stage.folder / "tenant", url)
    with narrator.step("A provider: account, profile, pool"):
        account = provider.run("account", "create", "--words-file", str(provider.home) + ".words")
        provider.run("provider", "create", "Hill Farm Hosting")
        provider.run("pool", "create", "barn", "--driver", place.driver)
        narrator.say(f"account {account['id'][:16]}…, recovery words written down")
    with narrator.step("The provider's agent joins by a setup token and starts"):
        config = _agent_config(stage, place, url)
        agent = _register_agent(stage, provider, config)
        narrator.say("device added to the provider's chain, delegation signed for pool `barn`")
    with narrator.step("An offering: signed terms, published"):
        offering = _publish_offering(stage, provider)
        narrator.say(provider.show("offering", "show", offering["id"]))
    with narrator.step("A tenant: account and an SSH key of their own"):
        tenant.run("account", "create", "--words-file", str(tenant.home) + ".words")
        key = stage.folder / "tenant-ssh"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(key)],
            check=True,
        )
        narrator.say(tenant.show("search"))
    return Cast(
        stage, place, url, provider, tenant, config, agent, offering["id"], Path(f"{key}.pub"), []
    )


def _start_platform(stage: Stage) -> str:
    ready = stage.folder / "platform.ready"
    listen = f"127.0.0.1:{_free_port()}"
    process = stage.spawn(
        "platform",
        [
            *(DECENT, "serve", "--mode", "development", "--listen", listen),
            *("--data", str(stage.folder / "platform"), "--ready-file", str(ready)),
        ],
    )

    def look() -> str | None:
        if process.poll() is not None:
            raise StepFailed(f"the platform ended: {stage.log_tail('platform')}")
        return ready.read_text().removeprefix("listening on ").strip() if ready.exists() else None

    url = wait_for("the platform answers", look)
    stage.platform_id = httpx.get(f"{url}/api/v1/platform", timeout=10).json()["platform_id"]
    return url


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _agent_config(stage: Stage, place: Place, url: str) -> Path:
    config = stage.folder / "agent.toml"
    config.write_text(
        f"""platform = "{url}"
data_dir = "{stage.folder / "agent"}"
driver = "{place.driver}"
public_host = "127.0.0.1"

[driver_settings]
{place.settings()}"""
    )
    return config


def _register_agent(stage: Stage, provider: Person, config: Path) -> subprocess.Popen[bytes]:
    _dc_agent(config, "init")
    token = provider.start(
        "setup-token",
        "create",
        "--pool",
        "barn",
        "--wait",
        "--yes",
        log=stage.folder / "setup-token.log",
    )
    assert token.stdout is not None
    code = json.loads(token.stdout.readline())["code"]
    _dc_agent(config, "register", code)
    if token.wait(30):
        raise StepFailed(f"setup token: {(stage.folder / 'setup-token.log').read_text()}")
    agent = start_agent(stage, config)

    def online() -> bool | None:
        if agent.poll() is not None:
            raise StepFailed(f"the agent ended: {stage.log_tail('agent')}")
        agents = provider.run("agents", "list")["items"]
        return True if any(row["status"] == "online" for row in agents) else None

    wait_for("the agent is online", online, 60)
    return agent


def start_agent(stage: Stage, config: Path) -> subprocess.Popen[bytes]:
    """Start `dc-agent run`."""
    return stage.spawn("agent", [DC_AGENT, "--config", str(config), "run"])


def _dc_agent(config: Path, *args: str) -> str:
    done = subprocess.run(
        [DC_AGENT, "--config", str(config), *args],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise StepFailed(
            f"`dc-agent {args[0]}` ended with {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout


def _publish_offering(stage: Stage, provider: Person) -> Any:
    sheet = stage.folder / "offering.toml"
    sheet.write_text(
        f"""title = "Small box in the barn"
kind = "container"
pool = "barn"
image = "tiny"
cpu_milli = 500
memory_mib = 128
disk_gib = 0
country = "CH"
asset = "USD"
price_minor_per_hour = "{PRICE_MINOR_PER_HOUR}"
stock = 5
"""
    )
    offering = provider.run("offering", "create", "--file", str(sheet))
    return provider.run("offering", "publish", offering["id"])


def rent_and_use(narrator: Narrator, cast: Cast) -> None:
    """Rent, open the credential, run a command inside."""
    with narrator.step(f"The tenant rents it for {HOURS} hours with the sandbox card"):
        began = time.monotonic()
        contract = _rent(cast)
        cast.contracts.append(contract["id"])
        narrator.say(f"contract {contract['id']} is {contract['state']}")
    with narrator.step("The tenant's device opens the sealed credential"):
        narrator.say(cast.tenant.show("creds", "show", contract["id"]))
    with narrator.step("`decent ssh`: log in with the signed host key pinned"):
        output = cast.tenant.show("ssh", contract["id"], "--", "uname -a; id")
        if "uid=0(root)" not in output:
            raise StepFailed(f"unexpected answer from inside: {output}")
        narrator.say(output)
        narrator.say(f"order to answer from inside: {time.monotonic() - began:.2f} s")


def _rent(cast: Cast) -> Any:
    return cast.tenant.run(
        "rent", cast.offering, "--hours", str(HOURS), "--ssh-key", str(cast.ssh_key),
        "--pay", "sandbox", "--card", "test-ok", "--yes",
    )  # fmt: skip


def survive_a_kill(narrator: Narrator, cast: Cast) -> None:
    """Kill the agent with SIGKILL while it makes a second machine; exactly one must come of it."""
    with narrator.step("A second rental; the agent is killed with kill -9 in the middle of it"):
        answer: list[Any] = []
        failure: list[BaseException] = []

        def rent() -> None:
            try:
                answer.append(_rent(cast))
            except BaseException as error:  # carried over to the main thread
                failure.append(error)

        renting = threading.Thread(target=rent, daemon=True)
        renting.start()
        wait_for("a second machine is being made", lambda: _second_machine(cast), 60)
        cast.agent.send_signal(signal.SIGKILL)
        cast.agent.wait(5)
        narrator.say("killed between the create call and its report")
        cast.agent = start_agent(cast.stage, cast.agent_config)
        renting.join(90)
        if failure:
            raise failure[0]
        if not answer:
            raise StepFailed("the second rental did not become active")
        contract = answer[0]["id"]
        cast.contracts.append(contract)
        made = cast.place.machines(cast.stage.platform_id).count(contract)
        if made != 1:
            raise StepFailed(f"{made} machines exist for {contract}")
        narrator.say(f"contract {contract} is {answer[0]['state']}; machines for it: {made}")
    with narrator.step("The machine that survived answers"):
        narrator.say(cast.tenant.show("ssh", contract, "--", "hostname; uptime"))


def _second_machine(cast: Cast) -> bool | None:
    there = set(cast.place.machines(cast.stage.platform_id))
    return True if there - set(cast.contracts) else None


def settle_up(narrator: Narrator, cast: Cast) -> None:
    """Cancel both, see the money go back and the machines gone, see the books balance."""
    with narrator.step("The tenant cancels both"):
        for contract in cast.contracts:
            cast.tenant.run("contracts", "cancel", contract)
    with narrator.step("Used time is released to the provider, the rest goes back to the card"):
        for contract in cast.contracts:
            ended = wait_for("the refund is confirmed", partial(_refunded, cast, contract))
            term = ended["terms"][0]
            parts = {
                name: int(term[name]["amount_minor"])
                for name in ("paid", "released", "refunded", "held")
            }
            if parts["paid"] != HOURS * PRICE_MINOR_PER_HOUR or parts["held"] != 0:
                raise StepFailed(f"the money of {contract} does not add up: {parts}")
            if parts["released"] + parts["refunded"] != parts["paid"]:
                raise StepFailed(f"the money of {contract} does not add up: {parts}")
            narrator.say(
                ", ".join(f"{name} {minor / 100:.2f}" for name, minor in parts.items()) + " USD"
            )
        narrator.say(cast.provider.show("balance"))
    with narrator.step("Nothing is left of the machines"):
        platform = cast.stage.platform_id
        wait_for(
            "every machine is gone", lambda: None if cast.place.machines(platform) else True, 60
        )
        wait_for("all around them is gone", lambda: None if cast.place.rests(platform) else True)
        narrator.say(cast.place.nothing_left)
    with narrator.step("The operator proves the books"):
        _grant_admin(cast)
        trial = cast.provider.run("admin", "trial-balance")
        if not trial["rebuilt"] or any(
            line["difference"]["amount_minor"] != "0" for line in trial["lines"]
        ):
            raise StepFailed(f"the books do not balance: {trial}")
        narrator.say(cast.provider.show("admin", "trial-balance"))


def _refunded(cast: Cast, contract: str) -> Any:
    shown = cast.tenant.run("contracts", "show", contract)
    states = [refund["state"] for refund in shown["refunds"]]
    return shown if states and all(state == "confirmed" for state in states) else None


def _grant_admin(cast: Cast) -> None:
    account = cast.provider.run("account", "show")["id"]
    done = subprocess.run(
        [DECENT, "admin", "grant", account, "--data", str(cast.stage.folder / "platform")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode:
        raise StepFailed(f"`decent admin grant`: {done.stderr.strip()}")


def hold(cast: Cast) -> None:
    """Leave everything running until Ctrl-C, with commands to try."""
    decent = f"DECENT_HOME={cast.tenant.home} {DECENT} --platform {cast.url}"
    print(
        f"""
The platform runs at {cast.url} (API: {cast.url}/api/v1/docs). As the tenant, try:

  {decent} search
  {decent} rent {cast.offering} --hours 1 --ssh-key {cast.ssh_key} --pay sandbox --card test-ok
  {decent} contracts list

As the provider: DECENT_HOME={cast.provider.home} {DECENT} --platform {cast.url} agents list

Ctrl-C ends everything.""",
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        while cast.agent.poll() is None:
            time.sleep(0.5)


def remove_leftovers(stage: Stage, place: Place) -> None:
    """Remove what an interrupted run left: this demo's platform's only."""
    if stage.platform_id:
        place.clear(stage.platform_id)
