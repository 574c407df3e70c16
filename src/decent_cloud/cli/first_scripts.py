"""First scripts on the command line: read from a file, shown before one rents, their logs opened afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.output import shown
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.client.credentials import open_script_log
from decent_cloud.domain.keys.logs import OpenedLog, ScriptLog
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.status import OnScriptFailure, ScriptKind, ScriptOutcome
from decent_cloud.wire.v1.first_scripts import FirstScriptView
from decent_cloud.wire.v1.offerings import OfferingView

FIELD = "first_script"
FILE_FIELD = "first_script_file"
_KINDS = {ScriptKind.SCRIPT: "a script", ScriptKind.CLOUD_CONFIG: "cloud-config"}
_AFTERWARDS = {
    OnScriptFailure.HAND_OVER: "the machine is yours even if it fails",
    OnScriptFailure.FAIL: "if it fails, the rental ends and is refunded",
}


def with_text(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Put the text of the file that fields name in its place; a name counts from `folder`, an empty one is none.

    Errors: Invalid, NotFound.
    """
    if FILE_FIELD not in fields:
        return fields
    if FIELD in fields:
        raise Invalid(f"name {FIELD} or {FILE_FIELD}, not both", field=FILE_FIELD)
    rest = {name: value for name, value in fields.items() if name != FILE_FIELD}
    name = str(fields[FILE_FIELD])
    return {**rest, FIELD: _read(folder / name) if name else ""}


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}", field=FILE_FIELD) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read as text: {error}", field=FILE_FIELD) from error


def fields_of(view: OfferingView) -> dict[str, Any]:
    """Return the fields of a draft that would leave an offering's script as it is."""
    script = view.first_script
    if script is None:
        return {}
    if view.first_script_text is None:
        raise NotFound("the platform does not show this offering's first script; give it again")
    return {
        FIELD: view.first_script_text,
        "first_script_timeout_s": script.timeout_s,
        "first_script_on_failure": script.on_failure,
    }


def described(script: FirstScriptView | None) -> str:
    """Say what runs in a new machine."""
    if script is None:
        return "nothing"
    return (
        f"{_KINDS[script.kind]} of the provider, at most {script.timeout_s} s, SHA-256 {script.sha256};"
        f" {_AFTERWARDS[script.on_failure]}"
    )


@click.command("log", cls=Leaf, example="decent creds log CONTRACT")
@click.argument("contract")
@pass_session
def log(session: Session, contract: str) -> None:
    """Open the log of the script that ran in CONTRACT's machine before you got it.

    The machine's agent sealed it for your account: nobody else can read it. A doubt ends with exit code 3.
    """
    view = session.client.contracts.read(contract)
    opened = open_script_log(session.client, session.trust, session.signer, view, session.now_ms())
    if session.out.json:
        session.out.data({"contract": view.id} | _shape(opened))
        return
    found = opened.log
    session.out.fields(
        [
            ("contract", view.id),
            ("script", f"SHA-256 {found.script}"),
            ("ended", _ended(found)),
            ("sealed by", f"agent {opened.agent}"),
        ]
    )
    text = found.output.decode(errors="replace")
    if text:
        session.out.line()
    for line in text.splitlines():
        session.out.line(shown(line.replace("\t", "    ")))


def _shape(opened: OpenedLog) -> dict[str, Any]:
    found = opened.log
    return {
        "script": found.script,
        "outcome": found.outcome,
        "exit_code": found.exit_code if found.outcome is ScriptOutcome.EXITED else None,
        "detail": found.detail,
        "output": found.output.decode(errors="replace"),
        "agent": opened.agent,
    }


def _ended(found: ScriptLog) -> str:
    words = {
        ScriptOutcome.EXITED: f"exit code {found.exit_code}",
        ScriptOutcome.TIMED_OUT: "stopped: it took too long",
        ScriptOutcome.INTERRUPTED: "interrupted: it was begun, and nobody saw it end",
        ScriptOutcome.NOT_RUN: "not run",
    }
    return words[found.outcome] + (f": {found.detail}" if found.detail else "")
