"""One script: asked a verb in JSON, its answer read strictly, its failures told in the contract's errors."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from decent_cloud.drivers.contract import Broken, Check, TryLater
from decent_cloud.drivers.parts import program
from decent_cloud.drivers.script.protocol import (
    EXIT_CODES,
    PROTOCOL,
    Answer,
    Refusal,
    Refused,
    Verb,
    error_of,
)
from decent_cloud.drivers.script.settings import ScriptSettings, read_secrets
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import Invalid

_SHOWN = 300  # characters of a script's words that an error carries
_HIDDEN = "[secret]"
_SECRET_FIELDS = (
    "password",
    "password_hash",
    "host_key_private",
    "host_key_seed_hex",
)


class Script:
    """The program behind the driver; it keeps nothing between calls."""

    def __init__(self, settings: ScriptSettings, platform: str) -> None:
        self._settings = settings
        self._platform = platform

    @property
    def path(self) -> str:
        """Return the program's path."""
        return self._settings.command[0]

    def ask(self, verb: Verb, **request: Any) -> Answer:
        """Run the program for one verb.

        Errors: what it reports; TryLater where it was late or ended by a signal, so that what it did is
        unknown; Broken for anything else that is not an answer.
        """
        secrets = read_secrets(self._settings.secret_files)
        asked = {
            "protocol": PROTOCOL,
            "verb": verb,
            "platform": self._platform,
            "config": self._settings.config,
            "secrets": secrets,
            **request,
        }
        timeout_s = self._settings.timeouts_s.get(verb, self._settings.timeout_s)
        done = program.run(
            self._settings.command, self._settings.folder, codec.to_json(asked) + b"\n", timeout_s
        )
        hidden = [*secrets.values(), *_secrets_in(request)]
        return _read(replace(done, errors=_without(done.errors, hidden)), hidden)

    def examine(self) -> Check:
        """Check that the program can be run, and that nobody else can change it."""
        cure = (
            f"see `command` of the driver's settings; chown root {self.path}; chmod 755 {self.path}"
        )
        try:
            mode = Path(self.path).stat().st_mode
        except OSError as error:
            return Check("script", False, f"{self.path}: {error.strerror}", cure)
        if not stat.S_ISREG(mode) or not mode & 0o111:
            return Check("script", False, f"{self.path} is not a program", cure)
        if mode & 0o022:
            return Check("script", False, f"others may write to {self.path}", cure)
        return Check("script", True, f"{self.path} can be run")


def _read(done: program.Done, hidden: list[str]) -> Answer:
    """Turn what a program printed, and how it ended, into its answer or an error."""
    said = done.errors.strip().rpartition("\n")[2][:_SHOWN]
    if done.code < 0:
        raise TryLater(f"the script was ended by signal {-done.code}: {said}".rstrip(": "))
    if done.code in EXIT_CODES and not done.output.strip():
        raise error_of(
            Refused(kind=EXIT_CODES[done.code], message=said or "the script says no more")
        )
    if done.code not in {0, *EXIT_CODES}:
        raise Broken(f"the script ended with code {done.code}: {said}".rstrip(": "))
    try:
        answer = codec.from_json(done.output, Answer)
    except Invalid as error:
        field = f" at {error.details['field']}" if error.details.get("field") else ""
        raise Broken(f"the script's answer is not as agreed: {error.message}{field}") from error
    if answer.protocol != PROTOCOL:
        raise Broken(
            f"the script speaks protocol {answer.protocol}, this agent {PROTOCOL}; "
            "bring the older of both up to date"
        )
    if answer.error is not None:
        message = _without(answer.error.message, hidden)
        raise error_of(msgspec.structs.replace(answer.error, message=message))
    if done.code:
        kind = Refusal(EXIT_CODES[done.code])
        raise Broken(f"the script ended as {kind} and printed no error")
    return answer


def _secrets_in(request: dict[str, Any]) -> Iterable[str]:
    spec = request.get("spec") or {}
    return [
        str(request.get("password") or ""),
        *(str(spec.get(each, "")) for each in _SECRET_FIELDS),
    ]


def _without(text: str, hidden: Iterable[str]) -> str:
    for each in hidden:
        for line in each.splitlines():
            if len(line) >= 4:
                text = text.replace(line, _HIDDEN)
    return text
