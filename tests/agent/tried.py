"""A driver over a fake cloud whose machines have no SSH server: passwords are tried in the fake itself."""

from __future__ import annotations

from typing import Any

from decent_cloud.drivers.conformance.rig import Rig as Backend
from decent_cloud.drivers.contract import Driver, Handle, Secret
from decent_cloud.kernel.ids import ContractId


class Tried:
    """The driver, and one ability more."""

    def __init__(self, driver: Driver, cloud: Backend) -> None:
        self._driver = driver
        self._cloud = cloud

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def try_password(
        self, handle: Handle, contract: ContractId, user: str, password: Secret
    ) -> bool:
        """Tell whether a login with this password would be let in."""
        return self._cloud.takes_password(self._driver.inspect(handle, contract), user, password)
