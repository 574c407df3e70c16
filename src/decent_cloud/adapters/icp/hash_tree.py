"""Certified hash trees: the digest of a tree with pruned parts, and what it proves to be there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from decent_cloud.adapters.icp.errors import ReplyUnreadable

_MAX_DEPTH = 128
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a tree. A fork has children, a labeled node a label and one child, a leaf content."""

    digest: bytes
    children: tuple[Node, ...] = ()
    label: bytes | None = None
    content: bytes | None = None

    def labeled(self) -> Iterator[tuple[bytes, Node]]:
        """Yield the labels directly below, in order, with what is under them."""
        if self.label is not None:
            yield self.label, self.children[0]
        else:
            for child in self.children:
                yield from child.labeled()

    def under(self, *path: bytes) -> Node | None:
        """Return the node at a path, None if the tree does not prove one to be there."""
        node = self
        for step in path:
            below = next((child for label, child in node.labeled() if label == step), None)
            if below is None:
                return None
            node = below
        return node

    def leaf(self, *path: bytes) -> bytes | None:
        """Return the content at a path, None if the tree does not prove one to be there."""
        node = self.under(*path)
        return node.content if node else None


def parse_tree(raw: object, depth: int = 0) -> Node:
    """Read a tree from its decoded CBOR. Errors: ReplyUnreadable. Source: the IC interface specification."""
    if depth > _MAX_DEPTH or not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        raise ReplyUnreadable("a hash tree is malformed")
    match list(raw):
        case [0]:
            return Node(_digest("empty"))
        case [1, left, right]:
            both = parse_tree(left, depth + 1), parse_tree(right, depth + 1)
            return Node(_digest("fork", both[0].digest, both[1].digest), both)
        case [2, bytes(label), below]:
            child = parse_tree(below, depth + 1)
            return Node(_digest("labeled", label, child.digest), (child,), label)
        case [3, bytes(content)]:
            return Node(_digest("leaf", content), content=content)
        case [4, bytes(digest)] if len(digest) == _HASH_BYTES:
            return Node(digest)
    raise ReplyUnreadable("a hash tree is malformed")


def _digest(kind: str, *parts: bytes) -> bytes:
    return hashlib.sha256(separator(f"ic-hashtree-{kind}") + b"".join(parts)).digest()


def separator(name: str) -> bytes:
    """Return a domain separator: the name behind its length."""
    return bytes([len(name)]) + name.encode("ascii")
