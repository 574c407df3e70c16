"""The agent against one replica: only certified answers count, and one envelope runs once, whatever happens."""

from __future__ import annotations

import pathlib
import pickle
from collections.abc import Iterator

import pytest

from decent_cloud.adapters.icp.certificates import SKEW_MS, Verifier
from decent_cloud.adapters.icp.envelopes import hash_of_map, prepare_call, stored_call
from decent_cloud.adapters.icp.errors import (
    BadSigningKey,
    CallRejected,
    CertificateRefused,
    NetworkSilent,
    ReplyUnreadable,
)
from decent_cloud.adapters.icp.signer import (
    KEY_VARIABLE,
    Ed25519Signer,
    signer_from_environment,
    signer_from_file,
)
from decent_cloud.domain.payments.icrc1_accounts import principal_text
from decent_cloud.domain.payments.icrc1_transfer import Outcome, OutcomeKind
from decent_cloud.domain.payments.token_ledgers import LedgerKind
from decent_cloud.kernel.clock import MINUTE_MS
from tests.support.icp.authority import Authority, Layout
from tests.support.icp.network import FUNDS, Network, network, network_on_loopback
from tests.support.icp.replica import RAN_UNSEEN, Fault
from tests.support.icp.trees import Path

pytestmark = pytest.mark.slow

K = OutcomeKind
SECRET = "1f" * 32


@pytest.fixture
def net() -> Iterator[Network]:
    made = network(LedgerKind.ICRC)
    yield made
    made.http.close()


def send_with(net: Network, fault: Fault, *, dark: int = 0) -> Outcome:
    terms = net.terms()
    attempt = net.rail.attempt(net.rail.argument(terms), 1, b"n", net.clock.now_ms())
    faults = iter([fault])
    net.replica.faults = lambda _method: next(faults, Fault.NONE)
    net.replica.dark = dark
    outcome = net.rail.send(attempt)
    net.replica.dark = 0
    again = net.rail.send(attempt)
    if fault is not Fault.DELAYED:
        assert net.paid(terms) == (again.kind is K.OK or fault is Fault.REJECTED_AFTER)
    return outcome


def test_a_request_id_is_the_specifications() -> None:
    # The worked example of the interface specification.
    content = {
        "request_type": "call",
        "sender": b"\x04",
        "ingress_expiry": 1_685_570_400_000_000_000,
        "canister_id": b"\x00\x00\x00\x00\x00\x00\x04\xd2",
        "method_name": "hello",
        "arg": b"DIDL\x00\xfd*",
    }
    expected = "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101"
    assert hash_of_map(content).hex() == expected


@pytest.mark.parametrize("kind", list(LedgerKind))
def test_a_transfer_goes_over_real_http(kind: LedgerKind) -> None:
    with network_on_loopback(kind) as net:
        terms = net.terms()
        attempt = net.rail.attempt(net.rail.argument(terms), 1, b"n", net.clock.now_ms())
        assert net.rail.send(attempt).kind is K.OK
        net.replica.faults = lambda _method: Fault.LOST_AFTER
        assert net.rail.balance_minor() == FUNDS - terms.amount_minor - terms.fee_minor


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("dark", [0, 99])
def test_every_fault_has_its_outcome(net: Network, fault: Fault, dark: int) -> None:
    outcome = send_with(net, fault, dark=dark)
    told = {
        Fault.NONE: K.OK,
        Fault.REJECTED_BEFORE: K.REJECTED,
        Fault.REJECTED_AFTER: K.REJECTED,
        Fault.ONE_NODE: K.LOST,
    }
    unverifiable = {Fault.LIE, Fault.WRONG_ROOT, Fault.STALE}
    if fault in told:
        assert outcome.kind is told[fault]
    elif fault in {Fault.LOST_BEFORE, Fault.ERROR_BEFORE, Fault.DELAYED}:
        assert outcome.kind is K.LOST
    elif dark:
        assert outcome.kind is (K.UNVERIFIABLE if fault in unverifiable else K.LOST)
    else:
        # read_state tells what the first answer did not.
        assert outcome.kind is K.OK
    assert (outcome.block is None) == (outcome.kind is not K.OK)


@pytest.mark.parametrize("fault", sorted(RAN_UNSEEN))
def test_the_same_envelope_again_runs_nothing_twice(net: Network, fault: Fault) -> None:
    terms = net.terms()
    attempt = net.rail.attempt(net.rail.argument(terms), 1, b"n", net.clock.now_ms())
    faults = iter([fault])
    net.replica.faults = lambda _method: next(faults, Fault.NONE)
    net.replica.dark = 99
    net.rail.send(attempt)
    net.replica.dark = 0
    net.clock.forward_ms(MINUTE_MS)
    last = [net.rail.send(attempt) for _ in range(3)][-1]
    assert last.kind is (K.REJECTED if fault is Fault.REJECTED_AFTER else K.OK)
    assert net.paid(terms) == 1
    assert len({request for method, request in net.replica.seen}) == 1


def test_an_expired_envelope_is_taken_by_nobody(net: Network) -> None:
    terms = net.terms()
    attempt = net.rail.attempt(net.rail.argument(terms), 1, b"n", net.clock.now_ms())
    net.clock.forward_ms(5 * MINUTE_MS)
    assert net.rail.send(attempt) == Outcome(K.LOST, detail="status 400")
    assert net.paid(terms) == 0


def test_a_stored_envelope_must_be_the_request_it_is_stored_as(net: Network) -> None:
    call = net.agent.prepare(b"x", "m", b"", now_ms=net.clock.now_ms(), nonce=b"1")
    assert stored_call(call.canister, call.request_id, call.envelope) == call
    other = net.agent.prepare(b"x", "m", b"", now_ms=net.clock.now_ms(), nonce=b"2")
    with pytest.raises(ReplyUnreadable):
        stored_call(call.canister, other.request_id, call.envelope)


def test_two_reads_in_one_instant_are_two_requests(net: Network) -> None:
    net.replica.latency_ms = 0
    before = net.rail.balance_minor()
    net.ledger.mint(net.rail.wallet, 5, net.clock.now_ns)
    assert net.rail.balance_minor() == before + 5


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.WRONG_ROOT, CertificateRefused),
        (Fault.STALE, CertificateRefused),
        (Fault.LIE, CertificateRefused),
        (Fault.LOST_BEFORE, NetworkSilent),
        (Fault.REJECTED_BEFORE, CallRejected),
    ],
)
def test_a_read_without_a_certified_answer_is_an_error(
    net: Network, fault: Fault, error: type[Exception]
) -> None:
    net.replica.faults = lambda _method: fault
    net.replica.dark = 99
    with pytest.raises(error):
        net.rail.fee_minor()


@pytest.mark.parametrize("layout", [Layout.SHARDED, Layout.ONE_LEAF])
def test_both_layouts_of_canister_ranges_are_read(net: Network, layout: Layout) -> None:
    net.replica.authority.layout = layout
    assert net.rail.fee_minor() == net.ledger.fee


def test_a_delegation_without_ranges_or_for_others_is_refused(net: Network) -> None:
    path: list[Path] = [(b"a",)]
    for authority in (
        Authority(layout=Layout.PRUNED),
        Authority(ranges=((b"\x02" * 10, b"\x03" * 10),)),
    ):
        verifier = Verifier(authority.root.der)
        raw = authority.certificate({b"a": b"b"}, path, net.clock.now_ns)
        with pytest.raises(CertificateRefused, match="responsible"):
            verifier.verify(raw, net.rail.ledger.canister, net.clock.now_ms())


def test_a_known_delegation_speaks_for_its_canisters_only(net: Network) -> None:
    own = net.rail.ledger.canister
    authority = Authority(ranges=((own, own),))
    verifier = Verifier(authority.root.der)
    raw = authority.certificate({b"a": b"b"}, [(b"a",)], net.clock.now_ns)
    now_ms = net.clock.now_ms()
    assert verifier.verify(raw, own, now_ms).tree.leaf(b"a") == b"b"
    assert verifier.verify(raw, own, now_ms).tree.leaf(b"c") is None
    with pytest.raises(CertificateRefused):
        verifier.verify(raw, own[:-1] + b"\x02", now_ms)


@pytest.mark.parametrize("off_ms", [-1, 1])
def test_a_certificate_too_old_or_too_new_is_refused(net: Network, off_ms: int) -> None:
    authority, now_ms = net.replica.authority, net.clock.now_ms()
    raw = authority.certificate({}, [], net.clock.now_ns, delegated=False)
    verifier = Verifier(authority.root.der)
    assert verifier.verify(raw, b"x", now_ms + SKEW_MS).at_ns == net.clock.now_ns
    assert verifier.verify(raw, b"x", now_ms - SKEW_MS).at_ns == net.clock.now_ns
    with pytest.raises(CertificateRefused, match="time"):
        verifier.verify(raw, b"x", now_ms + off_ms * (SKEW_MS + 1))


@pytest.mark.parametrize("raw", [b"", b"\xa0", b"\x01", b"\xd9\xd9\xf7\xa1dtree\x80", b"\x9f"])
def test_a_malformed_certificate_is_refused(raw: bytes) -> None:
    with pytest.raises(CertificateRefused):
        Verifier().verify(raw, b"x", 0)


def test_every_changed_byte_of_a_certificate_is_noticed(net: Network) -> None:
    authority, canister = net.replica.authority, net.rail.ledger.canister
    raw = authority.certificate({b"a": b"b"}, [(b"a",)], net.clock.now_ns)
    verifier = Verifier(authority.root.der)
    honest = verifier.verify(raw, canister, net.clock.now_ms())
    for at in range(0, len(raw), 7):
        changed = raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :]
        try:
            found = verifier.verify(changed, canister, net.clock.now_ms())
        except CertificateRefused:
            continue
        # Bytes outside what is signed, such as a map's unknown key, change nothing.
        assert (found.at_ns, found.tree.leaf(b"a")) == (honest.at_ns, b"b")


def test_the_key_shows_itself_nowhere(net: Network, tmp_path: pathlib.Path) -> None:
    signer = signer_from_environment({KEY_VARIABLE: SECRET})
    call = prepare_call(signer, b"x", "m", b"", now_ms=0, nonce=b"")
    attempt = net.rail.attempt(b"", 1, b"", 0)
    for shown in (repr(signer), str(signer), repr(call), repr(attempt), repr(net.agent)):
        assert SECRET not in shown
        assert "sender_sig" not in shown
    with pytest.raises(BadSigningKey):
        pickle.dumps(signer)


def test_a_key_file_is_private_and_well_formed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET + "\n")
    path.chmod(0o640)
    with pytest.raises(BadSigningKey, match="chmod 600") as refused:
        signer_from_file(path)
    assert SECRET not in str(refused.value)
    path.chmod(0o600)
    assert signer_from_file(path).principal == Ed25519Signer(bytes.fromhex(SECRET)).principal
    for wrong in ("", SECRET[:-2], "zz" * 32):
        path.write_text(wrong)
        with pytest.raises(BadSigningKey) as refused:
            signer_from_file(path)
        assert refused.value.__cause__ is None
    with pytest.raises(BadSigningKey):
        signer_from_file(tmp_path / "none")
    with pytest.raises(BadSigningKey):
        signer_from_environment({})


def test_a_principal_is_the_hash_of_the_key() -> None:
    signer = Ed25519Signer(bytes(32))
    assert len(signer.principal) == 29
    assert principal_text(signer.principal).endswith("e")
