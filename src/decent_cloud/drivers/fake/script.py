"""What a fake backend is told to do wrong: one record, kept in the backend's own file."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Fault(StrEnum):
    """How a call fails: before anything is written, or (answer_lost) after it was."""

    REJECTED = "rejected"
    NO_CAPACITY = "no_capacity"
    AUTH_FAILED = "auth_failed"
    TRY_LATER = "try_later"
    BROKEN = "broken"
    ANSWER_LOST = "answer_lost"


class Verb(StrEnum):
    """The calls that can be scripted and are recorded."""

    PROBE = "probe"
    SCOPE = "scope"
    CREATE = "create"
    INSPECT = "inspect"
    DESTROY = "destroy"
    LIST = "list_owned"
    STOP = "stop"
    START = "start"
    RESET = "reset_password"
    LOGIN = "try_password"
    REPLACE_KEYS = "replace_keys"
    READ_KEYS = "read_keys"
    RUN = "run_first"


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The behaviour of a fake backend; every field can change while programs use it.

    `before_ms` and `after_ms` are waits per verb, before and after the write. `list_lag_ms` hides
    instances younger than that from lists, `inspect_lag_ms` from single reads. An instance is
    creating for `boot_ms` and, once destroyed, deleting for `gone_ms`. With `unique_names` false,
    two creates that do not see each other make two instances, as in a cloud without unique names.
    A first script runs for `first_ms`, says `first_output` and exits with `first_exit`.
    `dark` machines run but answer nobody; a `foreign_host_key` answers in place of the right one.
    """

    before_ms: dict[str, int] = {}
    after_ms: dict[str, int] = {}
    unique_names: bool = True
    sold_out: bool = False
    capacity: int | None = None
    list_lag_ms: int = 0
    inspect_lag_ms: int = 0
    boot_ms: int = 0
    gone_ms: int = 0
    first_ms: int = 0
    first_exit: int = 0
    first_output: str = ""
    dark: bool = False
    foreign_host_key: str = ""
