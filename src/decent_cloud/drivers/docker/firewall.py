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
_FROM_US = ("-i", f"{BRIDGE_PREFIX}+")
_TIMEOUT_S = 15
_ANSWERS = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"


class Firewall:
    """The rules of this host; every method is idempotent and safe to run from several programs."""

    def __init__(self, deny_networks: Sequence[str]) -> None:
        self._deny_networks = tuple(deny_networks)
        self._lock = threading.Lock()
        self._filled = False

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
            hooks = self._hooks()
            if self._filled and all(_holds(each) for each in hooks):
                return
            self._fill()
            for each in hooks:
                if not _holds(each):
                    _run(["iptables", "-w", "10", "-I", *each])
            self._block_ipv6()
            self._filled = True

    def remove(self) -> None:
        """Take the rules out again."""
        with self._lock:
            self._filled = False
            for each in (*self._hooks(), ("FORWARD", *_FROM_US, "-j", THROUGH_HOST)):
                while _holds(each):
                    _run(["iptables", "-w", "10", "-D", *each])
            for chain in (TO_HOST, THROUGH_HOST):
                if _exists(chain):
                    _run(["iptables", "-w", "10", "-F", chain])
                    _run(["iptables", "-w", "10", "-X", chain])
            for name in ("INPUT", "FORWARD"):
                rule = (name, *_FROM_US, "-j", "DROP")
                while shutil.which("ip6tables") and _holds(rule, "ip6tables"):
                    _run(["ip6tables", "-w", "10", "-D", *rule])

    def _hooks(self) -> list[tuple[str, ...]]:
        """Return where our chains are entered; the engine keeps DOCKER-USER first and untouched."""
        forward = "DOCKER-USER" if _exists("DOCKER-USER") else "FORWARD"
        return [("INPUT", *_FROM_US, "-j", TO_HOST), (forward, *_FROM_US, "-j", THROUGH_HOST)]

    def _fill(self) -> None:
        """Write both chains anew in one step, so that there is no moment without them."""
        denied = [f"-A {THROUGH_HOST} -d {each} -j DROP" for each in self._deny_networks]
        lines = [
            "*filter",
            f":{TO_HOST} - [0:0]",
            f":{THROUGH_HOST} - [0:0]",
            f"-A {TO_HOST} {_ANSWERS}",
            f"-A {TO_HOST} -j DROP",
            f"-A {THROUGH_HOST} {_ANSWERS}",
            f"-A {THROUGH_HOST} -o {BRIDGE_PREFIX}+ -j DROP",
            *denied,
            "COMMIT",
        ]
        _run(["iptables-restore", "--noflush", "-w", "10"], "\n".join(lines) + "\n")

    def _block_ipv6(self) -> None:
        """Drop all IPv6 from instances: they get no address, so this is a second lock."""
        if shutil.which("ip6tables") is None:
            return
        for name in ("INPUT", "FORWARD"):
            rule = (name, *_FROM_US, "-j", "DROP")
            if not _holds(rule, "ip6tables"):
                _run(["ip6tables", "-w", "10", "-I", *rule])


def _holds(rule: Sequence[str], program: str = "iptables") -> bool:
    return _status([program, "-w", "10", "-C", *rule]) == 0


def _exists(chain: str) -> bool:
    return _status(["iptables", "-w", "10", "-S", chain, "1"]) == 0


def _status(command: Sequence[str]) -> int:
    try:
        return subprocess.run(
            command, check=False, capture_output=True, timeout=_TIMEOUT_S
        ).returncode
    except subprocess.TimeoutExpired as error:
        raise TryLater("the host's firewall does not answer") from error


def _run(command: Sequence[str], text: str = "") -> None:
    try:
        done = subprocess.run(
            command, input=text, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise TryLater("the host's firewall does not answer") from error
    if done.returncode:
        raise Broken(f"{command[0]} failed: {done.stderr.strip()[:300]}")
