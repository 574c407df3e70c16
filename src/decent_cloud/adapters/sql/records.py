"""How frozen records lie in tables: a field is a column of the same name, so each store stays small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import Enum, StrEnum
from typing import Any, Generic, TypeVar, get_type_hints

from decent_cloud.adapters.sql.session import Params, Row, Session
from decent_cloud.kernel.codec import from_json, to_json
from decent_cloud.kernel.errors import Conflict, StaleVersion
from decent_cloud.kernel.paging import Page, PageRequest

R = TypeVar("R")


class Form(Enum):
    """How a field's values lie in a column."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"  # 0 or 1
    WORD = "word"  # a member of an enum
    JSON = "json"  # a mapping, tuple or record


def forms(record: type[Any]) -> dict[str, tuple[Form, Any]]:
    """Return each field's form and plain type, in the record's order."""
    hints = get_type_hints(record)
    return {field.name: _form(hints[field.name]) for field in fields(record)}


def _form(hint: Any) -> tuple[Form, Any]:
    plain = getattr(hint, "__supertype__", hint)
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return Form.WORD, plain
    simple = {str: Form.TEXT, int: Form.NUMBER, bool: Form.FLAG}
    return simple.get(plain, Form.JSON), plain


class Rows(Generic[R]):
    """The statements of one record in one table.

    `key` names what identifies a row; a record with a `version` is replaced only if the stored version is the one
    that the record carries, and the stored one becomes one more. `extra` columns are computed from the record.
    `kept` fields are written by `add` alone: other statements own them afterwards.
    """

    def __init__(
        self,
        record: type[R],
        table: str,
        key: tuple[str, ...],
        *,
        extra: Mapping[str, Callable[[R], object]] | None = None,
        kept: tuple[str, ...] = (),
    ) -> None:
        self._record = record
        self._table = table
        self._forms = forms(record)
        self._extra = dict(extra or {})
        columns = [*self._forms, *self._extra]
        self.columns = ", ".join(_quoted(name) for name in self._forms)
        self.insert = (
            f"INSERT INTO {table} ({', '.join(_quoted(name) for name in columns)})"
            f" VALUES ({', '.join(f':{name}' for name in columns)})"
        )
        where = " AND ".join(f"{_quoted(name)} = :{name}" for name in key)
        changing = [name for name in columns if name not in {*key, *kept, "version"}]
        assigned = ", ".join(f"{_quoted(name)} = :{name}" for name in changing)
        self._update = (
            f"UPDATE {table} SET {assigned}, version = version + 1"
            f" WHERE {where} AND version = :version"
        )
        taken = ", ".join(_quoted(name) for name in key)
        replaced = ", ".join(f"{_quoted(name)} = excluded.{_quoted(name)}" for name in changing)
        self._unless_there = f"{self.insert} ON CONFLICT ({taken}) DO NOTHING"
        self._upsert = f"{self.insert} ON CONFLICT ({taken}) DO UPDATE SET {replaced}"
        self._by_key = f"WHERE {where}"

    def add(self, session: Session, record: R) -> None:
        """Insert; AlreadyExists if the identity is taken."""
        session.run(self.insert, self.written(record))

    def add_unless_there(self, session: Session, record: R) -> bool:
        """Insert unless the key is taken; tells whether it was new."""
        return session.run(self._unless_there, self.written(record)) == 1

    def save(self, session: Session, record: R) -> None:
        """Replace the row whose version is the record's; StaleVersion if there is none."""
        if session.run(self._update, self.written(record)) == 0:
            raise StaleVersion(record=self._table)

    def put(self, session: Session, record: R) -> None:
        """Insert or replace by key, whatever was there."""
        session.run(self._upsert, self.written(record))

    def save_or_add(self, session: Session, record: R) -> None:
        """Replace the row of that version; version 1 also inserts if there is no row."""
        params = self.written(record)
        if session.run(self._update, params) == 1:
            return
        # The insert waits for a concurrent one of the same key, then sees that it lost.
        if params["version"] != 1 or session.run(self._unless_there, params) == 0:
            raise StaleVersion(record=self._table)

    def get(self, session: Session, **key: str | int) -> R | None:
        """Return the row of a key."""
        return self.one(session, self._by_key + session.lock(), key)

    def get_locked(self, session: Session, **key: str | int) -> R | None:
        """Return the row of a key, for a writing unit to itself."""
        return self.one(session, self._by_key + session.lock(always=True), key)

    def one(self, session: Session, tail: str, params: Params) -> R | None:
        """Return the only row that `tail` (from WHERE on) leaves."""
        row = session.row(f"SELECT {self.columns} FROM {self._table} {tail}", params)
        return None if row is None else self.read(row)

    def all(self, session: Session, tail: str, params: Params) -> tuple[R, ...]:
        """Return the rows that `tail` (from WHERE on) leaves, in its order."""
        rows = session.rows(f"SELECT {self.columns} FROM {self._table} {tail}", params)
        return tuple(self.read(row) for row in rows)

    def page(self, session: Session, tail: str, params: Params, limit: int) -> Page[R]:
        """Return at most `limit` rows and the cursor of the next page; `tail` ends with its ORDER BY."""
        found = self.all(session, f"{tail} LIMIT :page_limit", {**params, "page_limit": limit + 1})
        items = found[:limit]
        more = len(found) > limit and items
        return Page(items, str(getattr(items[-1], "id")) if more else "")  # noqa: B009 - R is any record

    def newest(self, session: Session, where: str, params: Params, page: PageRequest) -> Page[R]:
        """Return a page by time-ordered id, newest first."""
        after = " AND id < :page_cursor" if page.cursor else ""
        tail = f"WHERE {where}{after} ORDER BY id DESC"
        return self.page(session, tail, {**params, "page_cursor": page.cursor}, page.limit)

    def read(self, row: Row) -> R:
        """Build the record from a row of `columns`."""
        values = zip(row, self._forms.values(), strict=True)
        return self._record(*[_read(value, form, plain) for value, (form, plain) in values])

    def written(self, record: R) -> dict[str, object]:
        values = {
            name: _write(getattr(record, name), form) for name, (form, _) in self._forms.items()
        }
        for name, compute in self._extra.items():
            values[name] = compute(record)
        return values


def same_or_conflict(stored: object, given: object) -> None:
    """Refuse a second, different record under an identity that must mean one thing."""
    if stored != given:
        raise Conflict("something else is stored under this identity")


def _quoted(name: str) -> str:
    return f'"{name}"'


def _write(value: Any, form: Form) -> object:
    if form is Form.FLAG:
        return int(value)
    if form is Form.WORD:
        return value.value
    if form is Form.JSON:
        return to_json(value).decode()
    return value


def _read(value: Any, form: Form, plain: Any) -> object:
    if form is Form.FLAG:
        return bool(value)
    if form is Form.WORD:
        return plain(value)
    if form is Form.JSON:
        return from_json(value, plain)
    return value
