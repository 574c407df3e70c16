"""Texts as label values and tags: as they are where a vendor takes them, else a short digest that stands for them."""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_DIGEST_DIGITS = 40


def label_value(text: str, longest: int = 63) -> str:
    """Return the value that stands for a text: itself if it fits, else 40 hex digits of its SHA-256.

    What reads labels compares with this of the text it expects; the text cannot be had back.
    """
    if len(text) <= longest and _PLAIN.fullmatch(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]
