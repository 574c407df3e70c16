"""Profiles: which platform and account a person works with, kept in one TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from decent_cloud.client.private_files import locked, write_private
from decent_cloud.kernel.errors import Invalid

DEFAULT_NAME = "default"
KEY_STORES = ("file", "keyring")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Profile:
    """One platform and one account; `account` is empty before `decent account create`."""

    name: str
    platform: str = ""
    account: str = ""
    key_store: str = "file"


class ConfigFile:
    """The file with all profiles of a person."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def profile(self, name: str) -> Profile:
        """Return a profile; one that is not in the file is empty.

        Errors: Invalid naming the field.
        """
        check_name(name)
        found = self._read().get("profiles", {}).get(name, {})
        if not isinstance(found, Mapping) or any(not isinstance(v, str) for v in found.values()):
            raise Invalid(f"{self.path}: [profiles.{name}] holds texts only", field="config")
        unknown = set(found) - {"platform", "account", "key_store"}
        if unknown:
            raise Invalid(
                f"{self.path}: [profiles.{name}] has no setting {min(unknown)}; it takes "
                "platform, account and key_store",
                field="config",
            )
        profile = Profile(name, **found)
        if profile.key_store not in KEY_STORES:
            raise Invalid(f"{self.path}: key_store is file or keyring", field="config")
        return profile

    def save(self, profile: Profile) -> None:
        """Write one profile and leave the others as they are."""
        with locked(self.path):
            whole = self._read()
            whole.setdefault("profiles", {})[profile.name] = {
                "platform": profile.platform,
                "account": profile.account,
                "key_store": profile.key_store,
            }
            write_private(self.path, tomli_w.dumps(whole).encode())

    def _read(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"{self.path} is not TOML: {error}", field="config") from error


def check_name(name: str) -> None:
    """Refuse a profile name that could not be a folder's.

    Errors: Invalid.
    """
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"not a profile name: {name!r}; take letters, digits, - and _", field="profile"
        )
