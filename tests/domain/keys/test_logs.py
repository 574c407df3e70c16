"""Logs of first scripts: read by the tenant's devices alone, and never taken for a credential."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from decent_cloud.domain.keys import b64u, hpke
from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.boxes import box_context, pad
from decent_cloud.domain.keys.credentials import (
    Expected,
    Sealed,
    Subject,
    open_credential,
    seal_credential,
)
from decent_cloud.domain.keys.errors import BadShape, CannotOpen
from decent_cloud.domain.keys.logs import (
    MAX_DETAIL,
    MAX_OUTPUT_BYTES,
    ScriptLog,
    open_log,
    seal_log,
)
from decent_cloud.domain.keys.seeds import AccountSeed
from decent_cloud.domain.keys.statements import StatementType, sign_statement
from decent_cloud.kernel.ids import AccountId, Digest
from decent_cloud.kernel.status import ScriptOutcome
from tests.domain.keys.family import account_seed, holder, provider, tenant
from tests.domain.keys.vectors import named_seed

CONTRACT = Digest(named_seed("contract").hex())
OTHER = Digest(named_seed("other contract").hex())
SEED = account_seed("seed2", 2)
LOG = ScriptLog(Digest("ab" * 32), ScriptOutcome.EXITED, 3, b"\x00\xffcanary-9d1e\n", "")


def subject(number: int = 1) -> Subject:
    return Subject(tenant().chain.account_id, provider().chain.account_id, CONTRACT, number)


def seal(log: ScriptLog = LOG, number: int = 1) -> Sealed:
    return seal_log(subject(number), log, provider().agent.keys, tenant().chain.generation)


@cache
def sealed_once() -> Sealed:
    return seal()


def expected(**change: Any) -> Expected:
    known = Expected(
        account_id=tenant().chain.account_id,
        contract=CONTRACT,
        provider_chain=provider().chain,
        delegated={provider().agent.device.kid},
    )
    return replace(known, **change)


def refused(sealed: Sealed, seed: AccountSeed = SEED, **change: Any) -> None:
    with pytest.raises(CannotOpen) as refusal:
        open_log(sealed, seed, expected(**change))
    assert refusal.value.details == {}


def test_what_was_sealed_comes_out_for_the_tenant() -> None:
    opened = open_log(seal(number=4), SEED, expected())
    assert opened.log == LOG
    assert opened.subject == subject(4)
    assert opened.agent == provider().agent.device.kid
    assert "canary" not in repr(opened)
    assert not opened.log.succeeded
    assert replace(LOG, exit_code=0).succeeded
    assert not replace(LOG, exit_code=0, outcome=ScriptOutcome.TIMED_OUT).succeeded


def test_the_longest_output_fits() -> None:
    longest = ScriptLog(
        LOG.script, ScriptOutcome.NOT_RUN, 255, b"\xff" * MAX_OUTPUT_BYTES, "\u0001" * MAX_DETAIL
    )
    assert open_log(seal(longest), SEED, expected()).log == longest


@pytest.mark.parametrize(
    "change",
    [
        {"output": b"x" * (MAX_OUTPUT_BYTES + 1)},
        {"detail": "x" * (MAX_DETAIL + 1)},
        {"exit_code": 256},
        {"exit_code": -1},
    ],
)
def test_nothing_is_sealed_that_no_reader_would_take(change: dict[str, Any]) -> None:
    with pytest.raises(BadShape):
        seal(replace(LOG, **change))


def test_another_account_contract_number_generation_or_agent_is_refused() -> None:
    sealed = sealed_once()
    refused(sealed, account_id=AccountId("11" * 32))
    refused(sealed, contract=OTHER)
    refused(replace(sealed, number=2))
    refused(replace(sealed, generation=1))
    refused(sealed, seed=account_seed("seed1", 1))
    refused(sealed, delegated=())
    refused(sealed, provider_chain=tenant().chain)
    broken = bytes([sealed.ciphertext[0] ^ 1, *sealed.ciphertext[1:]])
    refused(replace(sealed, ciphertext=broken))


def test_a_log_is_no_credential_and_a_credential_no_log() -> None:
    access = Access("198.51.100.7", 22, "root", (), password="p")
    keys, newest = provider().agent.keys, tenant().chain.generation
    with pytest.raises(CannotOpen):
        open_credential(sealed_once(), SEED, expected())
    refused(seal_credential(subject(), access, keys, newest))
    # Not even where an agent puts one kind of statement into the other kind of box.
    inner = sign_statement(StatementType.CREDENTIAL, payload(), [keys])
    refused(boxed(inner.encode()))


def payload(**change: Any) -> Any:
    body = {
        "detail": "",
        "exit_code": 0,
        "outcome": "exited",
        "output": "",
        "script": b64u.from_hex("ab" * 32),
    }
    return {
        "acct": b64u.from_hex(subject().account_id),
        "body": body,
        "contract": b64u.from_hex(CONTRACT),
        "n": 1,
        "provider": b64u.from_hex(subject().provider),
        "v": 1,
    } | change


def boxed(inner: bytes) -> Sealed:
    newest = tenant().chain.generation
    context = box_context(
        b"dcx/logbox/v1\0", subject().account_id, newest.number, subject().contract, 1
    )
    return Sealed(hpke.seal(pad(inner), newest.key, context), newest.number, 1)


def test_what_an_agent_signed_for_another_contract_is_refused_in_this_ones_box() -> None:
    keys = provider().agent.keys
    good = sign_statement(StatementType.LOG, payload(), [keys])
    assert open_log(boxed(good.encode()), SEED, expected()).log.succeeded
    other = sign_statement(StatementType.LOG, payload(contract=b64u.from_hex(OTHER)), [keys])
    refused(boxed(other.encode()))
    odd = sign_statement(StatementType.LOG, payload(body={"outcome": "exited"}), [keys])
    refused(boxed(odd.encode()))


def test_only_an_agent_may_have_signed() -> None:
    owner = holder("provider")
    signed = sign_statement(StatementType.LOG, payload(), [owner.keys])
    refused(boxed(signed.encode()), delegated={owner.device.kid})
