"""What Proxmox VE's refusals mean: it has few statuses and no codes, so the text decides."""

from __future__ import annotations

import re

from decent_cloud.drivers.contract import (
    AuthFailed,
    Broken,
    DriverError,
    NoCapacity,
    Rejected,
    TryLater,
)
from decent_cloud.drivers.parts.rest import Answered, judge_by_status

_MISSING = re.compile(
    r"configuration file '[^']*' does not exist|unable to find configuration file|no such vm",
    re.IGNORECASE,
)
_TAKEN = re.compile(r"already exists", re.IGNORECASE)
_DENIED = re.compile(r"permission check failed \(([^,)]+), ([^)]+)\)", re.IGNORECASE)
_BUSY = re.compile(
    r"is locked|can't lock file|got timeout|unable to acquire|timed? ?out|detected modified config",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"no space left|not enough (free )?space|out of space|insufficient (free )?space|"
    r"disk quota exceeded|cannot allocate memory|not enough memory",
    re.IGNORECASE,
)
_AGENT_DOWN = re.compile(r"guest agent is not running|vm \d+ (is )?not running", re.IGNORECASE)
_AGENT_OFF = re.compile(r"no qemu guest agent configured", re.IGNORECASE)
_NODE_DOWN = re.compile(
    r"no route to host|connection refused|hostname lookup|broken pipe|cluster not ready|no quorum",
    re.IGNORECASE,
)
_PROTECTED = re.compile(r"protection mode enabled", re.IGNORECASE)
_BUSY_AFTER_S = 3
_NODE_AFTER_S = 15
_TOKEN = "check the token and its realm in token_file"  # noqa: S105 - a sentence


def said(answered: Answered) -> str:
    """Return what the answer says: the body's message and field errors, else the reason phrase."""
    body = answered.body if isinstance(answered.body, dict) else {}
    text = str(body.get("message") or answered.reason or "").strip()
    fields = body.get("errors")
    if isinstance(fields, dict):
        text = f"{text} {'; '.join(f'{name}: {why}' for name, why in fields.items())}"
    return " ".join(text.split())[:400]


def is_missing(answered: Answered) -> bool:
    """Tell whether the answer is Proxmox's own word that a VM's configuration does not exist."""
    return answered.status == 500 and bool(_MISSING.search(said(answered)))


def is_taken(answered: Answered) -> bool:
    """Tell whether the id of a new VM is taken."""
    return not answered.ok and bool(_TAKEN.search(said(answered)))


def is_agent_down(answered: Answered) -> bool:
    """Tell whether the guest does not answer yet, or any more."""
    return answered.status == 500 and bool(_AGENT_DOWN.search(said(answered)))


def judge(answered: Answered) -> DriverError:
    """Turn a refusal into one of the contract's errors, with Proxmox's own words."""
    text = said(answered)
    what = f"Proxmox refuses {answered.method} {answered.path}: {text or answered.status}"
    if answered.status == 401:
        return AuthFailed(f"{what}; {_TOKEN}", status=401)
    by_text = judge_text(text, what)
    if by_text is not None:
        return by_text
    if answered.status == 403:
        return AuthFailed(what, status=403)
    if answered.status > 500 or not text:
        by_status = judge_by_status(answered)
        if by_status is not None and answered.status != 501:
            return by_status
    if 400 <= answered.status < 500:
        return judge_by_status(answered) or Rejected(what, status=answered.status)
    return Broken(what, status=answered.status)


def judge_text(text: str, what: str) -> DriverError | None:
    """Read a refusal's or a failed task's text; None where it says nothing that is known."""
    denied = _DENIED.search(text)
    if denied:
        path, privileges = denied.groups()
        privileges = privileges.replace("|", " or ")
        return AuthFailed(
            f"{what}; give the token {privileges} on {path}", path=path, privilege=privileges
        )
    if _MISSING.search(text):  # it was there a moment ago: a read will say
        return TryLater(what, after_s=_BUSY_AFTER_S)
    if _FULL.search(text):
        return NoCapacity(what)
    if _BUSY.search(text) or _AGENT_DOWN.search(text):
        return TryLater(what, after_s=_BUSY_AFTER_S)
    if _NODE_DOWN.search(text):
        return TryLater(what, after_s=_NODE_AFTER_S)
    if _PROTECTED.search(text) or _AGENT_OFF.search(text):
        return Rejected(what)
    return None
