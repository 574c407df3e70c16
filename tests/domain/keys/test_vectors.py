"""Every fixed value of the protocol, rebuilt byte for byte where nothing random is in it."""

from __future__ import annotations

import json

import pytest

from decent_cloud.domain.keys import b64u
from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.canonical import write
from decent_cloud.domain.keys.chain import Pin, verify_chain
from decent_cloud.domain.keys.credentials import (
    Expected,
    Subject,
    open_credential,
    parse_sealed,
    seal_credential,
)
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.domain.keys.errors import BadPoint, BadSignature
from decent_cloud.domain.keys.pairing import Side, code_from_random, parse_code
from decent_cloud.domain.keys.points import check_ed25519_key, verify_signature
from decent_cloud.domain.keys.recovery import entropy_of, seed_from_passkey, words_of
from decent_cloud.domain.keys.seeds import open_old_seed, open_seed_box, seal_old_seed
from decent_cloud.domain.keys.statements import Statement, pae
from decent_cloud.kernel.ids import AccountId, Digest
from tests.domain.keys import vectors
from tests.domain.keys.family import account_seed, provider, tenant
from tests.domain.keys.vectors import named_seed

CONTRACT = Digest(named_seed("contract").hex())


def signatures(statement: Statement) -> list[str]:
    return [b64u.encode(one.sig) for one in statement.signatures]


def test_the_envelope_counts_type_and_payload() -> None:
    assert pae("dcx/link/v1", b"{}") == b"DSSEv1 11 dcx/link/v1 2 {}"


def test_device_keys_come_from_the_seed() -> None:
    keys = DeviceKeys(named_seed("laptop"))
    assert b64u.decode(keys.kid).hex() == vectors.LAPTOP_KID
    assert keys.sig.hex() == vectors.LAPTOP_SIG
    assert keys.enc.hex() == vectors.LAPTOP_ENC


def test_recovery_words_are_their_entropy() -> None:
    assert entropy_of(vectors.WORDS).hex() == vectors.ENTROPY
    assert words_of(bytes.fromhex(vectors.ENTROPY)) == vectors.WORDS


def test_recovery_words_make_the_recovery_device() -> None:
    assert b64u.decode(tenant().recovery.keys.kid).hex() == vectors.RECOVERY_KID


def test_a_passkeys_secret_makes_its_device() -> None:
    keys = DeviceKeys(seed_from_passkey(b"\x42" * 32))
    assert b64u.decode(keys.kid).hex() == vectors.PASSKEY_KID


def test_an_account_seed_gives_the_generation_key() -> None:
    assert account_seed("seed1", 1).public.hex() == vectors.SEED_1_KEY


def test_a_pairing_code_gives_relay_name_and_keys() -> None:
    code = parse_code(vectors.CODE)
    assert code.value.hex() == vectors.CODE_BYTES
    assert code.text == vectors.CODE
    assert code.rid == vectors.RID
    assert code.key(Side.OLD).hex() == vectors.KEY_OLD
    assert code.key(Side.NEW).hex() == vectors.KEY_NEW


def test_a_code_drops_the_four_spare_bits_of_its_random_bytes() -> None:
    number = int(vectors.CODE_BYTES, 16)
    for spare in (0, 15):
        random_bytes = (number << 4 | spare).to_bytes(13, "big")
        assert code_from_random(random_bytes).text == vectors.CODE


def test_the_first_link_is_rebuilt() -> None:
    link, state = tenant().links[0], tenant().states[0]
    assert link.payload.decode() == vectors.LINK_0
    assert len(link.payload) == 451
    assert signatures(link) == [vectors.LINK_0_LAPTOP, vectors.LINK_0_RECOVERY]
    assert (state.account_id, state.head) == (vectors.ACCOUNT, vectors.ACCOUNT)


def test_the_adding_link_is_rebuilt() -> None:
    link, state = tenant().links[1], tenant().states[1]
    assert link.payload.decode() == vectors.LINK_1
    assert signatures(link) == [vectors.LINK_1_LAPTOP, vectors.LINK_1_CLI]
    assert state.head == vectors.HEAD_1


def test_the_rotating_link_is_rebuilt() -> None:
    link, state = tenant().links[2], tenant().states[2]
    assert link.payload.decode() == vectors.LINK_2
    assert signatures(link) == [vectors.LINK_2_RECOVERY]
    assert state.head == vectors.HEAD_2


def test_the_whole_chain_verifies_against_account_and_pin() -> None:
    state = verify_chain(
        tenant().links, account_id=AccountId(vectors.ACCOUNT), pin=Pin(1, Digest(vectors.HEAD_1))
    )
    assert state == tenant().chain
    assert {str(device.type) for device in state.active()} == {"recovery", "cli"}
    assert [one.number for one in state.generations] == [1, 2]


def test_the_seed_box_opens_to_the_seed() -> None:
    seed = open_seed_box(bytes.fromhex(vectors.SEED_2_BOX), tenant().cli.keys, tenant().chain, 2)
    assert seed == account_seed("seed2", 2)


def test_the_old_seed_is_rebuilt_and_opens() -> None:
    old, newer = account_seed("seed1", 1), account_seed("seed2", 2)
    sealed = seal_old_seed(old, newer, tenant().chain.account_id)
    assert sealed.hex() == vectors.OLD_SEED_1
    assert open_old_seed(sealed, newer, tenant().chain) == old


def test_the_provider_is_rebuilt() -> None:
    assert provider().chain.account_id == vectors.PROVIDER
    assert provider().agent.device.kid == vectors.AGENT_KID


def expected() -> Expected:
    return Expected(
        account_id=tenant().chain.account_id,
        contract=CONTRACT,
        provider_chain=provider().chain,
        delegated={provider().agent.device.kid},
    )


def test_the_credential_opens() -> None:
    sealed = parse_sealed(vectors.CREDENTIAL.encode())
    assert len(sealed.ciphertext) == 1072
    credential = open_credential(sealed, account_seed("seed2", 2), expected())
    assert write(credential.access.to_json()).decode() == vectors.BODY
    assert credential.agent == vectors.AGENT_KID
    assert signatures(credential.inner) == [vectors.CREDENTIAL_SIGNATURE]


def test_the_credentials_inside_is_rebuilt() -> None:
    body = json.loads(vectors.BODY)
    access = Access(
        body["host"], body["port"], body["user"], tuple(body["host_keys"]), body["password"]
    )
    subject = Subject(tenant().chain.account_id, provider().chain.account_id, CONTRACT, 1)
    sealed = seal_credential(subject, access, provider().agent.keys, tenant().chain.generation)
    theirs = open_credential(
        parse_sealed(vectors.CREDENTIAL.encode()), account_seed("seed2", 2), expected()
    )
    ours = open_credential(sealed, account_seed("seed2", 2), expected())
    assert ours.inner.encode() == theirs.inner.encode()
    assert len(sealed.ciphertext) == 1072
    assert sealed.to_json().keys() == vectors.CREDENTIAL_JSON.keys()


def test_a_mixed_order_key_is_refused() -> None:
    with pytest.raises(BadPoint):
        check_ed25519_key(bytes.fromhex(vectors.MIXED_ORDER_KEY))


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        (vectors.TORSION_KEY, vectors.TORSION_SIGNATURE),
        (vectors.IDENTITY_KEY, vectors.IDENTITY_SIGNATURE),
    ],
    ids=["torsion in R", "R is the identity"],
)
def test_signatures_on_which_libraries_disagree_are_refused(key: str, signature: str) -> None:
    check_ed25519_key(bytes.fromhex(key))
    with pytest.raises(BadSignature):
        verify_signature(bytes.fromhex(key), b"hello", bytes.fromhex(signature))
