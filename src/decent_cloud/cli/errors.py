"""Says what failed: for a person in lines with a cure, with --json as an object; and the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import click

from decent_cloud.kernel.errors import DecentError

USAGE = 2
INTERRUPTED = 130

_CURES: Mapping[str, str] = {
    "platform_unreachable": "check that the platform runs and that --platform (or the profile's "
    "platform) names it",
    "rolled_back": "the platform shows less than it did before: do not sign anything, ask the "
    "operator; your pins are in the profile's pins.json",
    "forked": "the platform shows another history than before: do not sign anything, ask the "
    "operator; your pins are in the profile's pins.json",
    "cannot_open": "the credential is not for this device, or not by an agent that the provider "
    "lets act; ask the provider for a new one",
    "unauthenticated": "the platform does not know this device; see: decent account show",
    "not_a_provider": "become a provider first: decent provider create NAME",
    "offer_changed": "the offering was published anew; run the command again to see its terms",
    "price_changed": "run the command again to see the present price",
    "too_many_unpaid": "see: decent contracts list; then: decent contracts cancel CONTRACT",
    "rate_limited": "wait a moment and run the command again",
    "seq_taken": "another device changed the account at the same time; run the command again",
    "file_exposed": "then think about whether somebody may have copied it",
}


def show(error: DecentError, *, as_json: bool) -> None:
    """Write an error to standard error."""
    fields = _fields(error)
    cure = _CURES.get(error.code, "")
    if as_json:
        shape = {
            "code": error.code,
            "kind": error.kind.value,
            "message": error.message,
            "errors": [{"field": field, "message": text} for field, text in fields],
            "cure": cure,
            "request_id": str(error.details.get("request_id", "")),
        }
        click.echo(json.dumps({"error": shape}), err=True)
        return
    click.echo(f"error: {error.message} [{error.code}]", err=True)
    for field, text in fields:
        click.echo(f"  {field}: {text}" if text else f"  field: {field}", err=True)
    if cure:
        click.echo(f"  try: {cure}", err=True)


def show_usage(error: click.ClickException, *, as_json: bool) -> None:
    """Write a mistake in the command line to standard error."""
    if not as_json:
        error.show(sys.stderr)
        return
    param = getattr(error, "param", None)
    shape = {
        "code": "usage",
        "kind": "invalid",
        "message": error.format_message(),
        "errors": [{"field": param.name, "message": error.format_message()}] if param else [],
        "cure": "add --help to see what the command takes",
        "request_id": "",
    }
    click.echo(json.dumps({"error": shape}), err=True)


def _fields(error: DecentError) -> list[tuple[str, str]]:
    found = error.details.get("errors")
    if isinstance(found, list):
        return [(str(one["field"]), str(one["message"])) for one in found]
    field = error.details.get("field")
    return [(str(field), "")] if field else []
