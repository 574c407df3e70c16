from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decent_cloud.domain.keys import b64u, hpke
from decent_cloud.domain.keys.access import Access, parse_access
from decent_cloud.domain.keys.chain import extend
from decent_cloud.domain.keys.credentials import (
    Accepted,
    Credential,
    Expected,
    Sealed,
    Subject,
    open_credential,
    parse_sealed,
    reseal_credential,
    seal_credential,
    sealed_from_json,
)
from decent_cloud.domain.keys.devices import DeviceType
from decent_cloud.domain.keys.errors import BadShape, CannotOpen, KeyRefused, NotCanonical
from decent_cloud.domain.keys.seeds import AccountSeed
from decent_cloud.domain.keys.statements import StatementType, cosign, sign_statement
from decent_cloud.kernel.ids import AccountId, Digest, Kid
from tests.domain.keys import vectors
from tests.domain.keys.family import account, account_seed, holder, provider, rotated, tenant
from tests.domain.keys.vectors import named_seed

CONTRACT = Digest(named_seed("contract").hex())
OTHER = Digest(named_seed("other contract").hex())
SEED_2 = account_seed("seed2", 2)
ACCESS = Access("198.51.100.7", 22, "root", ("ssh-ed25519 AAAA",), password="canary-5f1c")


def subject(number: int = 1) -> Subject:
    return Subject(tenant().chain.account_id, provider().chain.account_id, CONTRACT, number)


def seal(number: int = 1, access: Access = ACCESS) -> Sealed:
    return seal_credential(
        subject(number), access, provider().agent.keys, tenant().chain.generation
    )


def expected(**change: Any) -> Expected:
    known = Expected(
        account_id=tenant().chain.account_id,
        contract=CONTRACT,
        provider_chain=provider().chain,
        delegated={provider().agent.device.kid},
    )
    return replace(known, **change)


@cache
def sealed_once() -> Sealed:
    return seal()


@cache
def opened_once() -> Credential:
    return open_credential(sealed_once(), SEED_2, expected())


def refused(sealed: Sealed, seed: AccountSeed = SEED_2, **change: Any) -> None:
    with pytest.raises(CannotOpen) as refusal:
        open_credential(sealed, seed, expected(**change))
    # No detail may reach a page, and no plaintext a log.
    assert refusal.value.message == "The sealed message cannot be opened here."
    assert refusal.value.details == {}
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_the_tenants_device_reads_what_the_agent_sealed() -> None:
    credential = open_credential(seal(), SEED_2, expected())
    assert credential.access == ACCESS
    assert credential.subject == subject()
    assert credential.agent == provider().agent.device.kid


def test_secrets_do_not_show_when_printed() -> None:
    credential = open_credential(sealed_once(), SEED_2, expected())
    token = replace(ACCESS, password=None, token="canary-5f1c")
    for shown in (repr(credential), repr(ACCESS), repr(token), repr(sealed_once())):
        assert "canary-5f1c" not in shown


def test_a_credential_opens_for_what_it_was_made_for_and_nothing_else() -> None:
    stranger = account(holder("stranger"), holder("agent", DeviceType.AGENT, 2))[1]
    refused(sealed_once(), contract=OTHER)
    refused(sealed_once(), account_id=provider().chain.account_id)
    refused(sealed_once(), provider_chain=stranger)
    refused(replace(sealed_once(), number=2))
    refused(replace(sealed_once(), generation=1))
    refused(sealed_once(), AccountSeed(1, SEED_2.secret))
    refused(sealed_once(), account_seed("seed1", 1))
    refused(replace(sealed_once(), generation=1), account_seed("seed1", 1))


def test_every_changed_byte_of_the_ciphertext_is_refused() -> None:
    sealed = sealed_once()
    for at in range(len(sealed.ciphertext)):
        changed = bytearray(sealed.ciphertext)
        changed[at] ^= 1 << at % 8
        with pytest.raises(CannotOpen):
            open_credential(replace(sealed, ciphertext=bytes(changed)), SEED_2, expected())


@pytest.mark.parametrize("length", [0, 31, 47, 48, 1071])
def test_a_cut_ciphertext_is_refused(length: int) -> None:
    refused(replace(sealed_once(), ciphertext=sealed_once().ciphertext[:length]))


def test_a_number_below_the_last_accepted_one_is_refused() -> None:
    last = open_credential(seal(3), SEED_2, expected()).accepted
    assert last.number == 3
    refused(seal(2), last=last)
    assert open_credential(seal(3), SEED_2, expected(last=last)).subject.number == 3
    assert open_credential(seal(4), SEED_2, expected(last=last)).subject.number == 4


def test_an_agent_without_a_delegation_is_not_believed_at_first_sight() -> None:
    refused(sealed_once(), delegated=())
    refused(sealed_once(), delegated={Kid("A" * 22)})


def test_an_agent_revoked_from_the_chain_is_not_believed_at_first_sight() -> None:
    chain = provider().chain
    refused(
        sealed_once(),
        provider_chain=extend(chain, rotated(chain, provider().admin, revoke=(provider().agent,))),
    )


def test_a_credential_accepted_before_stays_valid_after_the_agent_is_revoked() -> None:
    last = open_credential(sealed_once(), SEED_2, expected()).accepted
    chain = provider().chain
    gone = extend(chain, rotated(chain, provider().admin, revoke=(provider().agent,)))
    after = expected(provider_chain=gone, delegated=(), last=last)
    assert open_credential(sealed_once(), SEED_2, after).accepted == last
    other = seal(access=replace(ACCESS, password="another"))
    refused(other, provider_chain=gone, delegated=(), last=last)
    refused(seal(2), provider_chain=gone, delegated=(), last=last)
    refused(sealed_once(), provider_chain=gone, delegated=(), last=replace(last, number=0))
    refused(sealed_once(), provider_chain=gone, delegated=(), last=Accepted(1, OTHER))


def wrapped(inner: bytes, padded_to: int = 1024) -> Sealed:
    """Seal any inner bytes as the tenant's server could: the public key is no secret."""
    padded = (len(inner).to_bytes(4, "big") + inner).ljust(padded_to, b"\0")
    return wrapped_raw(padded)


def wrapped_raw(padded: bytes) -> Sealed:
    context = (
        b"dcx/credbox/v1\0"
        + bytes.fromhex(tenant().chain.account_id)
        + bytes([0, 0, 0, 2])
        + bytes.fromhex(CONTRACT)
        + bytes([0, 0, 0, 1])
    )
    return Sealed(hpke.seal(padded, tenant().chain.generation.key, context), 2, 1)


def inner_payload() -> dict[str, Any]:
    inner = open_credential(sealed_once(), SEED_2, expected()).inner
    payload: dict[str, Any] = json.loads(inner.payload)
    return payload


def signed_inner(payload: Any, *names: str) -> bytes:
    keys = {"agent": provider().agent.keys, "provider": provider().admin.keys}
    signers = [keys.get(name) or holder(name).keys for name in names]
    return sign_statement(StatementType.CREDENTIAL, payload, signers).encode()


def test_a_credential_planted_by_another_signer_is_refused() -> None:
    planted = inner_payload()
    good = open_credential(wrapped(signed_inner(planted, "agent")), SEED_2, expected())
    assert good == opened_once()
    for names in ((), ("thief",), ("provider",), ("agent", "provider"), ("agent", "thief")):
        refused(wrapped(signed_inner(planted, *names)), delegated={*_all_kids()})


def _all_kids() -> Collection[Kid]:
    return {*provider().chain.members, holder("thief").device.kid}


@pytest.mark.parametrize(
    "change",
    [
        {"acct": "A" * 43},
        {"contract": "A" * 43},
        {"provider": "A" * 43},
        {"n": 2},
        {"n": 0},
        {"v": 2},
        {"more": 1},
        {"body": {"host": "x"}},
        {"body": "x"},
    ],
)
def test_a_forwarded_or_misshapen_credential_is_refused_though_well_signed(
    change: dict[str, Any],
) -> None:
    refused(wrapped(signed_inner(inner_payload() | change, "agent")))


def test_the_inner_statement_is_in_canonical_form() -> None:
    inner = signed_inner(inner_payload(), "agent")
    assert open_credential(wrapped(inner), SEED_2, expected()) == opened_once()
    refused(wrapped(inner.replace(b'"p"', b' "p"', 1)))
    refused(wrapped(b"\xef\xbb\xbf" + inner))
    refused(wrapped(b""))
    inside = json.dumps(inner_payload()).encode()
    loose = replace(open_credential(sealed_once(), SEED_2, expected()).inner, payload=inside)
    resigned = cosign(
        StatementType.CREDENTIAL, replace(loose, signatures=()), provider().agent.keys
    )
    refused(wrapped(resigned.encode()))


def test_the_padding_is_zero_and_the_length_fits() -> None:
    inner = signed_inner(inner_payload(), "agent")
    good = len(inner).to_bytes(4, "big") + inner
    assert open_credential(wrapped_raw(good), SEED_2, expected()) == opened_once()
    refused(wrapped_raw(good + b"\0\1"))
    refused(wrapped_raw((len(inner) + 1).to_bytes(4, "big") + inner))
    refused(wrapped_raw((len(inner) - 1).to_bytes(4, "big") + inner))
    refused(wrapped_raw(b"\xff" * 4 + inner))
    refused(wrapped_raw(b"\0\0"))


@pytest.mark.parametrize("extra", range(0, 2100, 300))
def test_the_size_shows_in_steps_of_a_kibibyte_only(extra: int) -> None:
    sealed = seal(access=replace(ACCESS, password="x" * extra))
    inner = open_credential(sealed, SEED_2, expected()).inner
    padded = len(sealed.ciphertext) - 48
    assert padded % 1024 == 0
    assert padded - 1024 < 4 + len(inner.encode()) <= padded


def test_a_full_block_gets_no_empty_one_after_it() -> None:
    filled = set()
    for extra in range(500, 1300):
        # Base64 takes four characters for three: some lengths meet the end of a block.
        length = 4 + inner_length(extra)
        if -3 <= length - 2048 <= 3:
            sealed = seal(access=replace(ACCESS, password="x" * extra))
            assert len(sealed.ciphertext) - 48 == (2048 if length <= 2048 else 3072)
            filled.add(length)
    assert min(filled) <= 2048 < max(filled)


def inner_length(extra: int) -> int:
    inner = opened_once().inner
    payload = len(inner.payload) - len("canary-5f1c") + extra
    return len(inner.encode()) - len(b64u.encode(inner.payload)) + len(b64u.encode(bytes(payload)))


def _body(password: str) -> dict[str, Any]:
    return dict(replace(ACCESS, password=password).to_json())


def test_resealing_to_a_newer_generation_keeps_the_agents_signature() -> None:
    chain = tenant().chain
    newest = extend(chain, rotated(chain, tenant().recovery)).generation
    sealed = reseal_credential(sealed_once(), SEED_2, expected(), newest)
    assert sealed.generation == 3
    seed = account_seed("next3", 3)
    before = open_credential(sealed_once(), SEED_2, expected())
    assert open_credential(sealed, seed, expected()) == before
    refused(sealed, SEED_2)
    refused(replace(sealed_once(), generation=3), seed)
    with pytest.raises(CannotOpen):
        reseal_credential(sealed_once(), SEED_2, expected(contract=OTHER), newest)


def test_what_no_reader_takes_is_not_sealed() -> None:
    agent, generation = provider().agent.keys, tenant().chain.generation
    for wrong in (
        replace(subject(), number=0),
        replace(subject(), number=2**31),
        replace(subject(), contract=Digest("x")),
        replace(subject(), provider=AccountId("")),
    ):
        with pytest.raises(BadShape):
            seal_credential(wrong, ACCESS, agent, generation)
    for port in (0, 65_536):
        with pytest.raises(BadShape):
            seal_credential(subject(), replace(ACCESS, port=port), agent, generation)


def test_the_outer_form_reads_back_in_any_layout() -> None:
    sealed = sealed_once()
    assert sealed_from_json(sealed.to_json()) == sealed
    assert parse_sealed(json.dumps(sealed.to_json(), indent=2).encode()) == sealed


@pytest.mark.parametrize(
    "change",
    [
        {"suite": 2},
        {"suite": True},
        {"v": 2},
        {"n": 0},
        {"n": True},
        {"n": 2**31},
        {"gen": 0},
        {"gen": "2"},
        {"ct": "AB"},
        {"ct": "AA=="},
        {"ct": 1},
        {"aad": ""},
    ],
)
def test_another_outer_form_is_refused(change: dict[str, Any]) -> None:
    value = vectors.CREDENTIAL_JSON | change
    with pytest.raises(KeyRefused):
        sealed_from_json(value)
    with pytest.raises(KeyRefused):
        parse_sealed(json.dumps(value).encode())


def test_a_repeated_key_or_an_oversized_outer_form_is_refused() -> None:
    raw = vectors.CREDENTIAL.encode()
    with pytest.raises(NotCanonical):
        parse_sealed(raw.replace(b'"gen":2', b'"gen":1,"gen":2'))
    with pytest.raises(NotCanonical):
        parse_sealed(raw + b" " * 128 * 1024)


@given(st.integers(0, len(vectors.CREDENTIAL) - 1), st.integers(1, 255))
def test_a_changed_byte_of_the_outer_form_is_refused_or_changes_nothing(
    at: int, change: int
) -> None:
    raw = bytearray(vectors.CREDENTIAL.encode())
    raw[at] ^= change
    try:
        other = open_credential(parse_sealed(bytes(raw)), SEED_2, expected())
    except KeyRefused:
        return
    assert other == open_credential(parse_sealed(vectors.CREDENTIAL.encode()), SEED_2, expected())


@pytest.mark.parametrize(
    "change",
    [
        {"port": 0},
        {"port": "22"},
        {"host": 1},
        {"user": 1},
        {"host_keys": "x"},
        {"host_keys": [1]},
        {"password": 1},
        {"token": "x"},
        {"more": 1},
    ],
)
def test_access_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadShape):
        parse_access(_body("x") | change)


def test_access_is_by_password_or_token_and_one_of_them() -> None:
    for access in (ACCESS, replace(ACCESS, password=None, token="t"), replace(ACCESS, password="")):
        assert parse_access(access.to_json()) == access
    for password, token in (("p", "t"), (None, None)):
        with pytest.raises(BadShape):
            replace(ACCESS, password=password, token=token)
    body = _body("x")
    del body["password"]
    with pytest.raises(BadShape):
        parse_access(body)
