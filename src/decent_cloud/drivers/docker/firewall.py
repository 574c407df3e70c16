"""Host firewall rules that keep instances from each other, from the host and from private networks.

They match the bridges' common prefix, so a new contract needs no new rule. Return traffic passes by
connection tracking; what the rules let through, the engine's own rules still decide on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Sequence

from decent_cloud.drivers.contract import Broken, TryLater
from decent_cloud.drivers.docker.mapping import BRIDGE_PREFIX

TO_HOST, THROUGH_HOST = "DCX-INPUT", "DCX-FORWARD"
_FROM_US = f"-i {BRIDGE_PREFIX}+"
# Instances get no IPv6 address; this is a second lock.
_IPV6 = (f"INPUT {_FROM_US} -j DROP", f"FORWARD {_FROM_US} -j DROP")
_OURS = (f"-A {TO_HOST} ", f"-A {THROUGH_HOST} ")
_TIMEOUT_S = 15
_ANSWERS = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"


class Firewall:
    """The rules of this host; every method is idempotent and safe to run from several programs."""

    def __init__(self, deny_networks: Sequence[str]) -> None:
        self._deny_networks = tuple(deny_networks)
        self._lock = threading.Lock()

    def why_not(self) -> str:
        """Return why rules can't be set here; empty if they can."""
        if shutil.which("iptables") is None:
            return "iptables is not installed"
        if os.geteuid() != 0:
            return "the agent is not root"
        return ""

    def ensure(self) -> None:
        """Put the rules in place where they are not; raises Broken naming why it cannot be done."""
        if reason := self.why_not():
            raise Broken(f"instances cannot be isolated: {reason}")
        with self._lock:
            present = _rules("iptables")
            ours = [each for each in present if each.startswith(_OURS)]
            if sorted(ours, key=_chain) != sorted(self._chains(), key=_chain):
                self._fill()
            for each in _hooks(present):
                if f"-A {each}" not in present:
                    _run(["iptables", "-w", "10", "-I", *each.split()])
            if shutil.which("ip6tables"):
                present = _rules("ip6tables")
                for each in _IPV6:
                    if f"-A {each}" not in present:
                        _run(["ip6tables", "-w", "10", "-I", *each.split()])

    def remove(self) -> None:
        """Take the rules out again."""
        with self._lock:
            for program in ("iptables", "ip6tables"):
                for each in _rules(program) if shutil.which(program) else ():
                    if f"-i {BRIDGE_PREFIX}+" in each:
                        _run([program, "-w", "10", "-D", *each.split()[1:]])
            present = _rules("iptables")
            for chain in (TO_HOST, THROUGH_HOST):
                if f"-N {chain}" in present:
                    _run(["iptables", "-w", "10", "-F", chain])
                    _run(["iptables", "-w", "10", "-X", chain])

    def _chains(self) -> list[str]:
        """Return what our two chains hold, as `iptables -S` lists it."""
        denied = [f"-A {THROUGH_HOST} -d {each} -j DROP" for each in self._deny_networks]
        return [
            f"-A {THROUGH_HOST} {_ANSWERS}",
            f"-A {THROUGH_HOST} -o {BRIDGE_PREFIX}+ -j DROP",
            *denied,
            f"-A {TO_HOST} {_ANSWERS}",
            f"-A {TO_HOST} -j DROP",
        ]

    def _fill(self) -> None:
        """Write both chains anew in one step, so that there is no moment without them."""
        heads = [f":{TO_HOST} - [0:0]", f":{THROUGH_HOST} - [0:0]"]
        lines = ["*filter", *heads, *self._chains(), "COMMIT"]
        _run(["iptables-restore", "--noflush", "-w", "10"], "\n".join(lines) + "\n")


def _hooks(present: Sequence[str]) -> tuple[str, str]:
    """Return where our chains are entered; the engine keeps DOCKER-USER first and untouched."""
    forward = "DOCKER-USER" if "-N DOCKER-USER" in present else "FORWARD"
    return f"INPUT {_FROM_US} -j {TO_HOST}", f"{forward} {_FROM_US} -j {THROUGH_HOST}"


def _chain(rule: str) -> str:
    return rule.split()[1]


def _rules(program: str) -> list[str]:
    """List the filter table's chains and rules."""
    return _run([program, "-w", "10", "-S"]).splitlines()


def _run(command: Sequence[str], text: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=text, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise TryLater("the host's firewall does not answer") from error
    if done.returncode:
        raise Broken(f"{command[0]} failed: {done.stderr.strip()[:300]}")
    return done.stdout
