"""From inside a Docker machine: no way to others, to the host or to private networks; one to the world."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from decent_cloud.drivers.conformance.specs import new_spec
from decent_cloud.drivers.contract import Broken
from decent_cloud.drivers.docker.firewall import THROUGH_HOST, TO_HOST, Firewall
from decent_cloud.drivers.docker.settings import DockerSettings
from devtools.engine import Engine
from tests.drivers.docker_rig import SDK_LEAKS, DockerRig, docker_rig, knock

WORLD, HOST_IN_WORLD = "203.0.113.2", "203.0.113.1"
HOME, HOST_AT_HOME = "10.99.7.2", "10.99.7.1"
METADATA = "169.254.169.254"

pytestmark = [
    pytest.mark.docker,
    *SDK_LEAKS,
    pytest.mark.skipif(os.geteuid() != 0, reason="firewall rules and namespaces need root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 is not installed"),
]


def ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


@dataclass(frozen=True, slots=True)
class Outside:
    """A host beside ours, in a network namespace, with a public and a private address."""

    namespace: str
    port: int

    def run(self, *command: str) -> str:
        line = ["ip", "netns", "exec", self.namespace, *command]
        done = subprocess.run(line, check=False, capture_output=True, timeout=20)
        return done.stdout.decode(errors="replace")


@contextmanager
def outside_host() -> Iterator[Outside]:
    name = f"dout{secrets.token_hex(3)}"
    inner = f"{name}i"
    ip("netns", "add", name)
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", inner)
        ip("link", "set", inner, "netns", name)
        for address in (HOST_IN_WORLD, HOST_AT_HOME):
            ip("addr", "add", f"{address}/24", "dev", name)
        ip("link", "set", name, "up")
        for address in (WORLD, HOME):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", inner)
        ip("-n", name, "link", "set", inner, "up")
        ip("-n", name, "link", "set", "lo", "up")
        serve = "while :; do echo world | nc -l -p 8080; done"
        line = ["ip", "netns", "exec", name, "busybox", "sh", "-c", serve]
        with subprocess.Popen(line, start_new_session=True) as server:
            try:
                yield Outside(name, 8_080)
            finally:
                os.killpg(server.pid, 9)
    finally:
        ip("link", "delete", name, check=False)
        ip("netns", "delete", name, check=False)


@contextmanager
def listener() -> Iterator[int]:
    """A service of the host, on every address."""
    with socket.create_server(("0.0.0.0", 0)) as server:

        def take() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with outside_host() as made:
        yield made


@pytest.fixture(scope="module")
def rig(docker_engine: Engine) -> Iterator[DockerRig]:
    with docker_rig(docker_engine.url) as made:
        yield made


def test_neighbours_the_host_and_private_networks_are_out_of_reach_and_the_world_is_not(
    rig: DockerRig, outside: Outside
) -> None:
    driver = rig.driver(bind="0.0.0.0")
    mine, other = new_spec(rig), new_spec(rig)
    driver.create(mine)
    driver.create(other)
    own_address, gateway = rig.address(mine)
    other_address, other_gateway = rig.address(other)
    ip("addr", "add", f"{METADATA}/32", "dev", "lo")
    try:
        with listener() as port:
            reached = knock(
                rig,
                mine,
                (own_address, 22),
                (WORLD, outside.port),
                (other_address, 22),
                (gateway, port),
                (other_gateway, port),
                (HOST_IN_WORLD, port),
                (HOST_AT_HOME, port),
                (METADATA, port),
                (HOME, outside.port),
                (gateway, other.ssh_port),
                (HOST_IN_WORLD, other.ssh_port),
            )
    finally:
        ip("addr", "delete", f"{METADATA}/32", "dev", "lo")
    assert reached == [True, True] + [False] * 9


RESOLVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
while True:
    asked, who = server.recvfrom(512)
    end = asked.index(0, 12) + 5
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xcb\\0\\x71\\7"
    is_a = asked[end - 4 : end - 2] == b"\\0\\1"
    count = b"\\0\\1" if is_a else b"\\0\\0"
    head = asked[:2] + b"\\x81\\x80\\0\\1" + count + b"\\0\\0\\0\\0"
    server.sendto(head + asked[12:end] + (answer if is_a else b""), who)
"""


def test_names_are_resolved_by_the_resolvers_of_the_settings(
    rig: DockerRig, outside: Outside
) -> None:
    spec = new_spec(rig)
    rig.driver(dns=[WORLD]).create(spec)
    line = ["ip", "netns", "exec", outside.namespace, sys.executable, "-c", RESOLVER]
    with subprocess.Popen(line) as resolver:
        try:
            said = rig.inside(spec, "for i in 1 2 3; do nslookup some.example && break; done")
        finally:
            resolver.kill()
    assert "203.0.113.7" in said


def test_published_ports_answer_the_world_and_the_host(rig: DockerRig, outside: Outside) -> None:
    spec = new_spec(rig)
    made = rig.driver(bind="0.0.0.0").create(spec)
    assert rig.seen_host_key(made) == spec.host_key.public
    said = outside.run(
        "busybox", "timeout", "3", "busybox", "nc", HOST_IN_WORLD, str(spec.ssh_port)
    )
    assert said.startswith("SSH-2.0-dropbear")


def test_the_trial_notices_missing_rules(rig: DockerRig) -> None:
    driver = rig.driver(isolation="none", deny_networks=[])
    spec = new_spec(rig)
    driver.create(spec)
    _, gateway = rig.address(spec)
    firewall = Firewall(DockerSettings().deny_networks)
    firewall.remove()
    try:
        with listener() as port:
            assert knock(rig, spec, (gateway, port)) == [True]
        checks = {each.name: each for each in driver.probe().checks}
        assert "none, by settings" in checks["walls"].detail
    finally:
        firewall.ensure()
    with listener() as port:
        assert knock(rig, spec, (gateway, port)) == [False]


def rules() -> str:
    done = subprocess.run(["iptables", "-S"], check=True, capture_output=True, text=True)
    return done.stdout


def test_rules_are_put_once_and_put_back_when_somebody_flushed_them(rig: DockerRig) -> None:
    firewall = Firewall(DockerSettings().deny_networks)
    firewall.ensure()
    once = rules()
    Firewall(DockerSettings().deny_networks).ensure()
    assert rules() == once
    for command in (["-F", TO_HOST], ["-F", "DOCKER-USER"]):
        subprocess.run(["iptables", *command], check=True)
        firewall.ensure()
        assert f"-A INPUT -i dcx+ -j {TO_HOST}" in rules()
        assert f"-A DOCKER-USER -i dcx+ -j {THROUGH_HOST}" in rules()
        assert f"-A {TO_HOST} -j DROP" in rules()
    assert rig.driver().list_owned() is not None


def test_without_the_right_to_set_rules_no_machine_is_made(rig: DockerRig) -> None:
    class NotRoot(Firewall):
        def why_not(self) -> str:
            return "the agent is not root"

    driver = rig.driver(timeout_s=20)
    driver._firewall = NotRoot(())
    spec = new_spec(rig)
    with pytest.raises(Broken, match="not root"):
        driver.create(spec)
    assert (rig.count(spec.contract), rig.networks(spec.contract)) == (0, 0)
