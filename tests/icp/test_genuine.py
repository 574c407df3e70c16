"""Genuine mainnet certificates verify, the bad one is refused; our interfaces agree with the ledgers' own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from icp_candid import DIDLoader  # type: ignore[import-untyped]

from decent_cloud.adapters.icp import cbor
from decent_cloud.adapters.icp.candid import Method
from decent_cloud.adapters.icp.certificates import Verifier
from decent_cloud.adapters.icp.errors import CertificateRefused
from decent_cloud.adapters.icp.interfaces import DCT_LEDGER, ICP_LEDGER, ICRC_LEDGER
from decent_cloud.domain.payments.icrc1_accounts import parse_principal
from tests.support.clouds.documents import WHERE
from tests.support.icp.authority import BlsKey

CANISTER = parse_principal("ivg37-qiaaa-aaaab-aaaga-cai")
_BESIDE = Path(__file__).parents[3] / "shared"


def recorded(name: str) -> Path:
    """Return a recorded file, or skip what needs it."""
    path = Path(os.environ.get(WHERE, _BESIDE)) / "icp" / name
    if not path.exists():
        pytest.skip(f"no recorded {name}: name the folder that holds icp in {WHERE}")
    return path


def certificate(name: str) -> bytes:
    """Take the certificate out of a recorded read_state body."""
    return cbor.blob(cbor.decode_map(recorded(f"certs/{name}.bin").read_bytes())["certificate"])


@pytest.mark.parametrize("name", ["ivg37_time", "ivg37_delegated_v2"])
def test_genuine_certificates_verify_for_their_canister_only(name: str) -> None:
    raw = certificate(name)
    verifier = Verifier(skew_ms=None)
    assert verifier.verify(raw, CANISTER, 0).at_ns > 1_600_000_000 * 10**9
    with pytest.raises(CertificateRefused, match="responsible"):
        verifier.verify(raw, parse_principal("ryjl3-tyaaa-aaaaa-aaaba-cai"), 0)


def test_a_genuine_certificate_proves_what_became_of_a_request() -> None:
    tree = Verifier(skew_ms=None).verify(certificate("ivg37_delegated_v2"), CANISTER, 0).tree
    statuses = tree.under(b"request_status")
    assert statuses is not None
    ((_, status),) = statuses.labeled()
    assert status.leaf(b"status") == b"rejected"
    assert status.leaf(b"reject_code") == b"\x03"


def test_pruned_ranges_are_refused() -> None:
    with pytest.raises(CertificateRefused, match="responsible"):
        Verifier(skew_ms=None).verify(certificate("ivg37_time_pruned_ranges"), CANISTER, 0)


def test_a_genuine_certificate_is_refused_when_old_or_under_another_root() -> None:
    raw = certificate("ivg37_time")
    with pytest.raises(CertificateRefused, match="time"):
        Verifier().verify(raw, CANISTER, 1_795_000_000_000)
    with pytest.raises(CertificateRefused, match="signature"):
        Verifier(BlsKey("another").der, skew_ms=None).verify(raw, CANISTER, 0)


@pytest.mark.parametrize(
    ("ours", "file", "foreign"),
    [
        (ICRC_LEDGER, "icrc1-ledger.did", ""),
        (DCT_LEDGER, "decent_cloud.did", ""),
        # No interface of the ICP ledger was recorded; what it shares with all ledgers is the standard's.
        (ICP_LEDGER, "ICRC-1.did", "query_blocks archives"),
        (ICRC_LEDGER, "ICRC-1.did", "icrc3_get_blocks icrc3_get_archives"),
        (ICRC_LEDGER, "ICRC-3.did", "icrc1_"),
        (ICRC_LEDGER, "icrc1-archive.did", "icrc1_"),
    ],
)
def test_our_interfaces_agree_with_the_ledgers_own(
    ours: Mapping[str, Method], file: str, foreign: str
) -> None:
    loader = DIDLoader()
    theirs = loader.load_did_source(recorded(f"did/{file}").read_text())["methods"]
    shared = [name for name in ours if not any(name.startswith(f) for f in foreign.split())]
    assert shared
    for name in shared:
        method, own = theirs[name], ours[name]
        assert len(method.argTypes) == len(own.arguments)
        # They accept what we send, we understand what they answer.
        for sent, accepted in zip(own.arguments, method.argTypes, strict=True):
            assert_subtype(sent, accepted, name)
        for answered, understood in zip(method.retTypes, own.results, strict=True):
            assert_subtype(answered, understood, name)


def assert_subtype(
    narrow: Any, wide: Any, where: str, seen: frozenset[tuple[int, int]] = frozenset()
) -> None:
    """Check Candid's subtyping: every value of `narrow` can be read as `wide`, losing nothing we know of."""
    narrow, wide = resolved(narrow), resolved(wide)
    pair = (id(narrow), id(wide))
    if pair in seen:
        return
    seen |= {pair}
    kinds = type(narrow).__name__, type(wide).__name__
    assert kinds[0] == kinds[1] or (narrow.name, wide.name) == ("nat", "int"), (where, kinds)
    if kinds[0] in {"OptClass", "VecClass"}:
        assert_subtype(narrow._type, wide._type, where, seen)
    elif kinds[0] == "RecordClass":
        for field, (name, kind) in wide._field_map.items():
            assert field in narrow._field_map, (where, name)
            assert_subtype(narrow._field_map[field][1], kind, f"{where}.{name}", seen)
    elif kinds[0] == "VariantClass":
        for field, (name, kind) in narrow._field_map.items():
            assert field in wide._field_map, (where, name)
            assert_subtype(kind, wide._field_map[field][1], f"{where}.{name}", seen)
    elif kinds[0] == "FuncClass":
        for sent, accepted in zip(wide.args, narrow.args, strict=True):
            assert_subtype(sent, accepted, where, seen)
        for answered, understood in zip(narrow.rets, wide.rets, strict=True):
            assert_subtype(answered, understood, where, seen)
    else:
        assert narrow.name == wide.name, (where, narrow.name, wide.name)


def resolved(kind: Any) -> Any:
    """Follow a recursive type to what it stands for."""
    return kind.get_type() if type(kind).__name__ == "RecClass" else kind
