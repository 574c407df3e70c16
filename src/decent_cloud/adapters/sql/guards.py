"""What keeps booked transfers as they are, whoever connects: triggers that live in the database itself."""

from __future__ import annotations

from decent_cloud.adapters.sql.errors import BOOKED_BEFORE
from decent_cloud.adapters.sql.session import Dialect

_INSERT_ONLY = "transfers: booked for ever"

# REPLACE deletes the old row without firing delete triggers on a connection that left recursive_triggers off, so
# an insert over an existing id or number is refused before it starts.
_SQLITE = {
    "transfers_no_update": f"""CREATE TRIGGER transfers_no_update BEFORE UPDATE ON transfers
BEGIN SELECT RAISE(ABORT, '{_INSERT_ONLY}'); END""",
    "transfers_no_delete": f"""CREATE TRIGGER transfers_no_delete BEFORE DELETE ON transfers
BEGIN SELECT RAISE(ABORT, '{_INSERT_ONLY}'); END""",
    "transfers_no_replace": f"""CREATE TRIGGER transfers_no_replace BEFORE INSERT ON transfers
WHEN EXISTS (SELECT 1 FROM transfers WHERE id = NEW.id OR seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, '{BOOKED_BEFORE}'); END""",
}

_POSTGRES = {
    "transfers_no_change": """CREATE TRIGGER transfers_no_change BEFORE UPDATE OR DELETE ON transfers
FOR EACH ROW EXECUTE FUNCTION refuse_change()""",
    "transfers_no_truncate": """CREATE TRIGGER transfers_no_truncate BEFORE TRUNCATE ON transfers
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
}

FUNCTIONS = {
    Dialect.SQLITE: {},
    Dialect.POSTGRESQL: {
        "refuse_change": f"""CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '{_INSERT_ONLY}'; END $$"""
    },
}
TRIGGERS = {Dialect.SQLITE: _SQLITE, Dialect.POSTGRESQL: _POSTGRES}
