"""Logs of first scripts: signed by the provider's agent, sealed to the tenant's account as credentials are.

Statement type and box label are their own: a log can never be opened as a credential, nor one as a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from decent_cloud.domain.keys import b64u, canonical, hpke
from decent_cloud.domain.keys.boxes import box_context, pad, unpad
from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.chain import Generation
from decent_cloud.domain.keys.credentials import Expected, Sealed, Subject
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.errors import BadShape, CannotOpen, KeyRefused
from decent_cloud.domain.keys.fields import Fields
from decent_cloud.domain.keys.seeds import AccountSeed
from decent_cloud.domain.keys.statements import (
    Statement,
    StatementType,
    parse_statement,
    sign_statement,
    verify_sole_signature,
)
from decent_cloud.kernel.ids import Digest, Kid
from decent_cloud.kernel.status import ScriptOutcome

MAX_OUTPUT_BYTES = 32 * 1024  # in base64 twice, it fits into a statement
MAX_DETAIL = 400
MAX_EXIT_CODE = 255
_LOG_BOX = b"dcx/logbox/v1\0"
_BODY = ("detail", "exit_code", "outcome", "output", "script")


@dataclass(frozen=True, slots=True)
class ScriptLog:
    """How a machine's first script ended, and the end of what it said. `script` is its SHA-256."""

    script: Digest
    outcome: ScriptOutcome
    exit_code: int = 0  # where it exited
    output: bytes = field(default=b"", repr=False)
    detail: str = field(default="", repr=False)  # why it was not run

    @property
    def succeeded(self) -> bool:
        """Whether it ran to its end and said that all went well."""
        return self.outcome is ScriptOutcome.EXITED and self.exit_code == 0


@dataclass(frozen=True, slots=True)
class OpenedLog:
    """An opened and verified log, and which agent signed it."""

    subject: Subject
    log: ScriptLog
    agent: Kid


def seal_log(
    subject: Subject, log: ScriptLog, agent_keys: DeviceKeys, generation: Generation
) -> Sealed:
    """Sign as the agent and seal to a generation of the tenant's account, its newest one.

    Errors: `BadShape` for what no reader would take.
    """
    payload: Json = {
        "acct": b64u.from_hex(subject.account_id),
        "body": {
            "detail": log.detail,
            "exit_code": log.exit_code,
            "outcome": log.outcome.value,
            "output": b64u.encode(log.output),
            "script": b64u.from_hex(log.script),
        },
        "contract": b64u.from_hex(subject.contract),
        "n": subject.number,
        "provider": b64u.from_hex(subject.provider),
        "v": 1,
    }
    _parse_payload(payload)
    inner = sign_statement(StatementType.LOG, payload, [agent_keys])
    context = box_context(
        _LOG_BOX, subject.account_id, generation.number, subject.contract, subject.number
    )
    sealed = hpke.seal(pad(inner.encode()), generation.key, context)
    return Sealed(sealed, generation.number, subject.number)


def open_log(sealed: Sealed, seed: AccountSeed, expected: Expected) -> OpenedLog:
    """Open a log and check everything it says against what is expected; `expected.last` is not looked at.

    An agent counts while it is active and delegated.
    Errors: `CannotOpen` for every failure, without a reason.
    """
    try:
        return _open(sealed, seed, expected)
    except KeyRefused:
        raise CannotOpen from None


def _open(sealed: Sealed, seed: AccountSeed, expected: Expected) -> OpenedLog:
    if sealed.generation != seed.generation:
        raise CannotOpen
    context = box_context(
        _LOG_BOX, expected.account_id, sealed.generation, expected.contract, sealed.number
    )
    inner = parse_statement(unpad(seed.open(sealed.ciphertext, context)))
    agent = _verify_agent(inner, expected)
    subject, log = _parse_payload(canonical.parse(inner.payload))
    provider = expected.provider_chain.account_id
    if subject != Subject(expected.account_id, provider, expected.contract, sealed.number):
        raise CannotOpen
    return OpenedLog(subject, log, agent)


def _verify_agent(inner: Statement, expected: Expected) -> Kid:
    agents = [
        member.device
        for kid, member in expected.provider_chain.members.items()
        if member.device.is_agent and member.revoked_seq is None and kid in expected.delegated
    ]
    return verify_sole_signature(StatementType.LOG, inner, agents).kid


def _parse_payload(value: Json) -> tuple[Subject, ScriptLog]:
    fields = Fields(value, ("acct", "body", "contract", "n", "provider", "v"))
    fields.version()
    subject = Subject(
        account_id=fields.account("acct"),
        provider=fields.account("provider"),
        contract=fields.digest("contract"),
        number=fields.count("n", 1),
    )
    body = fields.inner("body", _BODY)
    output, detail = body.raw("output"), body.text("detail")
    if len(output) > MAX_OUTPUT_BYTES or len(detail) > MAX_DETAIL:
        raise BadShape("a log's output or detail is too long")
    log = ScriptLog(
        script=body.digest("script"),
        outcome=ScriptOutcome(body.choice("outcome", [one.value for one in ScriptOutcome])),
        exit_code=body.integer("exit_code", 0, MAX_EXIT_CODE),
        output=output,
        detail=detail,
    )
    return subject, log
