"""Access: what a credential says about reaching an instance."""

from __future__ import annotations

from dataclasses import dataclass, field

from decent_cloud.domain.keys.canonical import Json
from decent_cloud.domain.keys.errors import BadShape
from decent_cloud.domain.keys.fields import Fields

MAX_PORT = 65_535
_KEYS = frozenset({"host", "host_keys", "port", "user"})


@dataclass(frozen=True, slots=True)
class Access:
    """Where an instance answers and how to get in: a password or a token, exactly one of them.

    The password is empty where only the order's SSH keys open the door. The host keys are worth
    more than the password: with them nobody can stand in between.
    """

    host: str
    port: int
    user: str
    host_keys: tuple[str, ...]
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.password is None) == (self.token is None):
            raise BadShape("a password or a token, exactly one of them")

    def to_json(self) -> dict[str, Json]:
        body: dict[str, Json] = {
            "host": self.host,
            "host_keys": list(self.host_keys),
            "port": self.port,
            "user": self.user,
        }
        if self.password is not None:
            body["password"] = self.password
        if self.token is not None:
            body["token"] = self.token
        return body


def parse_access(value: object) -> Access:
    """Read the body of a credential.

    Errors: `BadShape`.
    """
    by_token = isinstance(value, dict) and "token" in value
    fields = Fields(value, _KEYS | {"token" if by_token else "password"})
    return Access(
        host=fields.text("host"),
        port=fields.integer("port", 1, MAX_PORT),
        user=fields.text("user"),
        host_keys=fields.texts("host_keys"),
        password=None if by_token else fields.text("password"),
        token=fields.text("token") if by_token else None,
    )
