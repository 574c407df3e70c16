"""First scripts: what runs once in each new machine before its tenant gets it, and what terms say of it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.fields import Fields
from decent_cloud.kernel.errors import Invalid
from decent_cloud.kernel.ids import Digest
from decent_cloud.kernel.status import OnScriptFailure, ScriptKind

MAX_BYTES = 16 * 1024  # beside the rest of it, within what every vendor takes as user data
MIN_TIMEOUT_S, MAX_TIMEOUT_S = 10, 3_600
REST_S = 60  # of the time for delivery, kept for making the machine
FIELD = "first_script"
_CLOUD_CONFIG = "#cloud-config"
_TERMS = ("kind", "on_failure", "sha256", "timeout_s")


@dataclass(frozen=True, slots=True)
class FirstScript:
    """What the terms say of a script: everything but its text."""

    kind: ScriptKind
    sha256: Digest
    timeout_s: int
    on_failure: OnScriptFailure

    def to_json(self) -> dict[str, Json]:
        """Return it as it stands in terms."""
        return {
            "kind": self.kind.value,
            "on_failure": self.on_failure.value,
            "sha256": b64u.from_hex(self.sha256),
            "timeout_s": self.timeout_s,
        }


@dataclass(frozen=True, slots=True)
class ScriptText:
    """A script by its own hash: the same text is kept once."""

    sha256: Digest
    text: str


@dataclass(frozen=True, slots=True)
class OrderedScript:
    """The script of an ordered machine, with the signed terms that name it: the agent checks one by the other."""

    script: FirstScript
    terms: str  # canonical JSON, as at order time
    offer: str  # JSON of the signed envelope over them


def read_script(
    text: str, timeout_s: int, on_failure: OnScriptFailure, provision_timeout_s: int
) -> FirstScript:
    """Return what terms say of a provider's text.

    Errors: Invalid naming the field.
    """
    if len(text.encode()) > MAX_BYTES:
        raise Invalid(f"a first script has at most {MAX_BYTES} bytes", field=FIELD)
    if "\r" in text:
        raise Invalid("the first script has Windows line ends; save it with Unix ones", field=FIELD)
    if any(ord(one) < 32 and one not in "\n\t" for one in text):
        raise Invalid("the first script holds control characters", field=FIELD)
    if not MIN_TIMEOUT_S <= timeout_s <= provision_timeout_s - REST_S:
        raise Invalid(
            f"a first script may run {MIN_TIMEOUT_S} s or longer, and ends {REST_S} s before the"
            f" time for delivery ({provision_timeout_s} s)",
            field="first_script_timeout_s",
        )
    return FirstScript(_kind(text), script_hash(text), timeout_s, on_failure)


def script_hash(text: str) -> Digest:
    """Return the SHA-256 by which terms name a script."""
    return Digest(sha256(text.encode()).hexdigest())


def script_in(terms: object) -> FirstScript | None:
    """Return the script that parsed terms name; None where they name none.

    Errors: BadShape.
    """
    said = terms.get(FIELD) if isinstance(terms, dict) else None
    if said is None:
        return None
    fields = Fields(said, _TERMS)
    return FirstScript(
        kind=ScriptKind(fields.choice("kind", [one.value for one in ScriptKind])),
        sha256=fields.digest("sha256"),
        timeout_s=fields.integer("timeout_s", MIN_TIMEOUT_S, MAX_TIMEOUT_S),
        on_failure=OnScriptFailure(
            fields.choice("on_failure", [one.value for one in OnScriptFailure])
        ),
    )


def _kind(text: str) -> ScriptKind:
    if text.startswith("#!"):
        return ScriptKind.SCRIPT
    if text.split("\n", 1)[0].rstrip() == _CLOUD_CONFIG:
        return ScriptKind.CLOUD_CONFIG
    raise Invalid("a first script begins with #!, or with the line #cloud-config", field=FIELD)
