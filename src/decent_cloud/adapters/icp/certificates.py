"""Certificates: what a subnet says about its state is believed only under the root key, for its canisters, if fresh."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from decent_cloud.adapters.icp import bls, cbor, leb128
from decent_cloud.adapters.icp.errors import CertificateRefused, ReplyUnreadable
from decent_cloud.adapters.icp.hash_tree import Node, parse_tree, separator
from decent_cloud.kernel.clock import MINUTE_MS

MAINNET_ROOT_KEY = bls.DER_PREFIX + bytes.fromhex(
    "814c0e6ec71fab583b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc534"
    "1583bf4b4392e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae"
)
SKEW_MS = 5 * MINUTE_MS
_MS_NS = 1_000_000
_KEPT = 64


@dataclass(frozen=True, slots=True)
class Certificate:
    """A verified certificate: the proven part of a subnet's state, and the subnet's time."""

    tree: Node
    at_ns: int


@dataclass(slots=True)
class Verifier:
    """Verifies certificates under one root key (DER).

    `skew_ms` is how far a certificate's time may be from ours; None for old recorded ones only.
    """

    root_key: bytes = MAINNET_ROOT_KEY
    skew_ms: int | None = SKEW_MS
    # Delegations change every few minutes, certificates with each answer: half of the pairings are saved.
    _subnets: dict[bytes, bytes] = field(default_factory=dict)

    def verify(self, raw: bytes, canister: bytes, now_ms: int) -> Certificate:
        """Return what a certificate proves about a canister. Errors: CertificateRefused."""
        try:
            return self._verify(raw, canister, now_ms)
        except ReplyUnreadable as error:
            raise CertificateRefused(error.message) from error

    def _verify(self, raw: bytes, canister: bytes, now_ms: int) -> Certificate:
        content = cbor.decode_map(raw)
        delegation = content.get("delegation")
        key = self.root_key if delegation is None else self._subnet_key(delegation, canister)
        tree = _signed_tree(content, key)
        at_ns = leb128.decode(tree.leaf(b"time") or b"")
        if self.skew_ms is not None and abs(at_ns - now_ms * _MS_NS) > self.skew_ms * _MS_NS:
            raise CertificateRefused("the certificate's time is too far from ours", at_ns=at_ns)
        return Certificate(tree, at_ns)

    def _subnet_key(self, delegation: object, canister: bytes) -> bytes:
        """Return the key of the subnet that the root made responsible for a canister."""
        if not isinstance(delegation, Mapping):
            raise CertificateRefused("the delegation is malformed")
        subnet = cbor.blob(delegation.get("subnet_id"))
        raw = cbor.blob(delegation.get("certificate"))
        known = hashlib.sha256(_sized(subnet) + _sized(canister) + raw).digest()
        if known in self._subnets:
            return self._subnets[known]
        content = cbor.decode_map(raw)
        if "delegation" in content:
            raise CertificateRefused("a delegation is itself delegated")
        tree = _signed_tree(content, self.root_key)
        if not any(low <= canister <= high for low, high in _ranges(tree, subnet)):
            raise CertificateRefused("the subnet is not responsible for this canister")
        key = tree.leaf(b"subnet", subnet, b"public_key")
        if key is None:
            raise CertificateRefused("the delegation does not name the subnet's key")
        if len(self._subnets) >= _KEPT:
            self._subnets.clear()
        self._subnets[known] = key
        return key


def _signed_tree(content: Mapping[Any, Any], key: bytes) -> Node:
    tree = parse_tree(content.get("tree"))
    raw_key = bls.raw_key(key)
    message = separator("ic-state-root") + tree.digest
    if raw_key is None or not bls.verify(cbor.blob(content.get("signature")), message, raw_key):
        raise CertificateRefused("the certificate's signature does not verify")
    return tree


def _ranges(tree: Node, subnet: bytes) -> list[tuple[bytes, bytes]]:
    """Read a subnet's canister ranges in both layouts: sharded by first canister, or in one leaf."""
    leaves = [tree.leaf(b"subnet", subnet, b"canister_ranges")]
    sharded = tree.under(b"canister_ranges", subnet)
    if sharded:
        leaves += [shard.content for _, shard in sharded.labeled()]
    return [pair for leaf in leaves if leaf is not None for pair in _pairs(cbor.decode(leaf))]


def _pairs(value: object) -> list[tuple[bytes, bytes]]:
    if not isinstance(value, list | tuple):
        raise ReplyUnreadable("canister ranges are malformed")
    pairs = []
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ReplyUnreadable("canister ranges are malformed")
        pairs.append((cbor.blob(pair[0]), cbor.blob(pair[1])))
    return pairs


def _sized(part: bytes) -> bytes:
    return bytes([len(part)]) + part
