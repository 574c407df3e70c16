"""Certified hash trees as a replica makes them: from nested dictionaries, everything but some paths pruned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

State = Mapping[bytes, Any]
Path = tuple[bytes, ...]


def witness(state: State, paths: Sequence[Path]) -> tuple[Any, bytes]:
    """Return the tree's CBOR value that shows these paths only, and the root digest."""
    return _level(state, paths)


def number(value: int) -> bytes:
    """Write a number as the state tree holds them."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _level(state: Any, paths: Sequence[Path]) -> tuple[Any, bytes]:
    if isinstance(state, bytes):
        return _shown([3, state], _digest(b"ic-hashtree-leaf", state), paths)
    nodes = []
    for label in sorted(state):
        below = [path[1:] for path in paths if path and path[0] == label]
        whole = [()] if () in paths else []
        child, digest = _level(state[label], [*below, *whole])
        own = _digest(b"ic-hashtree-labeled", label, digest)
        shown = bool(below) or () in paths
        nodes.append(([2, label, child] if shown else [4, own], own))
    if not nodes:
        return [0], _digest(b"ic-hashtree-empty")
    return _forked(nodes)


def _forked(nodes: list[tuple[Any, bytes]]) -> tuple[Any, bytes]:
    if len(nodes) == 1:
        return nodes[0]
    middle = (len(nodes) + 1) // 2
    (left, left_digest), (right, right_digest) = _forked(nodes[:middle]), _forked(nodes[middle:])
    digest = _digest(b"ic-hashtree-fork", left_digest, right_digest)
    if left[0] == right[0] == 4:
        return [4, digest], digest
    return [1, left, right], digest


def _shown(node: Any, digest: bytes, paths: Sequence[Path]) -> tuple[Any, bytes]:
    return (node, digest) if paths else ([4, digest], digest)


def _digest(kind: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(bytes([len(kind)]) + kind + b"".join(parts)).digest()
