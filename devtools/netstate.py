"""A machine's firewall, forwarding switches and bridges, kept before an engine starts and put back after."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

_PROC = Path("/proc/sys/net")
_SWITCHES = (
    "ipv4/ip_forward",
    "ipv4/conf/all/route_localnet",
    "ipv6/conf/all/forwarding",
    "ipv6/conf/default/forwarding",
    "bridge/bridge-nf-call-iptables",
    "bridge/bridge-nf-call-ip6tables",
)
_FAMILIES = ("iptables", "ip6tables")
_ENGINE_BRIDGES = ("docker", "br-", "dcx")
_BUILT_IN = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}


@dataclass(frozen=True, slots=True)
class NetState:
    """What an engine changes on its host: rules by family, switches by name, names of bridges."""

    rules: dict[str, str]
    switches: dict[str, str]
    bridges: list[str]

    def save(self, path: Path) -> None:
        """Write it so that a later program can put it back."""
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> NetState:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text()))


def capture() -> NetState:
    """Read the present state."""
    switches = {
        name: (_PROC / name).read_text().strip() for name in _SWITCHES if (_PROC / name).exists()
    }
    return NetState({each: _rules(each) for each in _FAMILIES}, switches, _bridges())


def restore(before: NetState) -> None:
    """Put rules, switches and bridges back as they were; safe to repeat."""
    for name in _bridges():
        if name not in before.bridges and name.startswith(_ENGINE_BRIDGES):
            subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)
    for family, text in before.rules.items():
        if _rules(family) != text:
            _put_rules(family, text)
    for name, value in before.switches.items():
        if (_PROC / name).exists() and (_PROC / name).read_text().strip() != value:
            (_PROC / name).write_text(value)


def _bridges() -> list[str]:
    command = ["ip", "-json", "link", "show", "type", "bridge"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return sorted(each["ifname"] for each in json.loads(done.stdout or "[]") if each)


def _rules(family: str) -> str:
    """Return the rules without comments and counters."""
    try:
        done = subprocess.run([f"{family}-save"], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    lines = [line.split(" [")[0] for line in done.stdout.splitlines() if line[:1] != "#"]
    return "".join(_without_empty_tables(lines))


def _without_empty_tables(lines: list[str]) -> list[str]:
    """Drop tables that hold no rule and let all pass: with nft they can be emptied, not removed."""
    kept: list[str] = []
    table: list[str] = []
    for line in lines:
        table.append(f"{line}\n")
        if line == "COMMIT":
            said = [
                each for each in table[1:-1] if not each.endswith(" ACCEPT\n") or each[0] != ":"
            ]
            kept += table if said else []
            table = []
    return kept


def _put_rules(family: str, text: str) -> None:
    """Replace every table; one that was not there before is emptied and its chains opened."""
    had = _tables(text)
    emptied = "".join(
        f"*{table}\n" + "".join(f":{chain} ACCEPT\n" for chain in _BUILT_IN[table]) + "COMMIT\n"
        for table in _tables(_rules(family))
        if table not in had
    )
    command = [f"{family}-restore", "-w", "10"]
    subprocess.run(command, input=text + emptied, check=True, capture_output=True, text=True)


def _tables(text: str) -> list[str]:
    return [line[1:] for line in text.splitlines() if line.startswith("*")]
