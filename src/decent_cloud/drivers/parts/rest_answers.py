"""What a vendor's answers must hold: one record, all pages of a list, or the vendor's own word that there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from decent_cloud.drivers.contract import Broken, TryLater
from decent_cloud.drivers.parts.rest import Answered

Record = dict[str, Any]
MOST_PAGES = 200


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list, and how many entries the vendor says the whole list has."""

    items: list[Record]
    total: int | None


def record(answered: Answered, key: str) -> Record:
    """Return the record under a key of the answer. Errors: Broken."""
    body = answered.body
    if isinstance(body, dict) and isinstance(body.get(key), dict):
        return dict(body[key])
    raise Broken(f"the answer to {answered.method} {answered.path} lacks {key!r}")


def records(answered: Answered, key: str) -> list[Record]:
    """Return the list of records under a key of the answer. Errors: Broken."""
    body = answered.body
    if isinstance(body, dict) and isinstance(body.get(key), list):
        return [dict(each) for each in body[key]]
    raise Broken(f"the answer to {answered.method} {answered.path} lacks {key!r}")


def is_missing(answered: Answered, vendor: str, *, vendors_word: bool) -> bool:
    """Tell whether a 404 is the vendor's word on the thing; a 404 from somewhere else is no evidence.

    Errors: Broken.
    """
    if answered.status != 404:
        return False
    if not vendors_word:
        raise Broken(f"a 404 without {vendor}'s own words for {answered.path}")
    return True


def whole_list(path: str, pages: Callable[[], Iterator[ListPage]]) -> list[Record]:
    """Read all pages; again from the start if the list changed in between, so that none is missed.

    Errors: TryLater for a list that never stands still, Broken for one without paging or end.
    """
    for _ in range(3):
        found: list[Record] = []
        totals: set[int | None] = set()
        try:
            for number, page in enumerate(pages()):
                if number >= MOST_PAGES:
                    raise Broken(f"the list {path} has no end")
                found += page.items
                totals.add(page.total)
        except (KeyError, TypeError, AttributeError) as error:
            raise Broken(f"the answer to GET {path} lacks its paging") from error
        if totals in ({len(found)}, {None}):
            return found
    raise TryLater(f"the list {path} changes faster than it can be read")
