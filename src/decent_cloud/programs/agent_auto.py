"""Settings with `driver = "auto"` made definite: chosen once, then kept beside the journal.

An agent that changed its backend because the better one was down for a moment would look for its machines in
the wrong place; to have it choose again, remove the file while no machine exists.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from decent_cloud.agent.settings import AgentSettings
from decent_cloud.drivers.auto import AUTO, choose
from decent_cloud.drivers.contract import Check
from decent_cloud.kernel import codec
from decent_cloud.kernel.errors import DecentError, Invalid

_log = structlog.get_logger("dc-agent")


class _Kept(codec.Answer, frozen=True):
    """What the file holds."""

    driver: str
    why: str


def chosen(settings: AgentSettings, platform: str = "auto") -> tuple[AgentSettings, str]:
    """Return definite settings, and why they are what they are; empty where the operator said so.

    Errors: Invalid, NoDriverWorks.
    """
    if settings.driver != AUTO:
        return settings, ""
    file = Path(settings.data_dir) / "auto.json"
    kept = _read(file)
    if kept is None:
        choice = choose(settings.driver_settings, platform)
        kept = _Kept(driver=choice.driver, why=choice.why)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_bytes(codec.to_json(kept))
    table = settings.driver_settings.get(kept.driver, {})
    if not isinstance(table, dict):
        raise Invalid("is a table", field=f"driver_settings.{kept.driver}")
    return msgspec.structs.replace(settings, driver=kept.driver, driver_settings=table), kept.why


def announced(settings: AgentSettings) -> AgentSettings:
    """Return definite settings and say in the log why. Errors: Invalid, NoDriverWorks."""
    definite, why = chosen(settings)
    if why:
        _log.info("driver chosen", driver=definite.driver, why=why)
    return definite


def examined(settings: AgentSettings) -> tuple[AgentSettings, tuple[Check, ...]]:
    """Return definite settings as far as they can be had, and the choice as a check for `doctor`."""
    try:
        definite, why = chosen(settings)
    except DecentError as error:
        cure = "start a Docker engine, or let this user make user namespaces; see docs/drivers"
        return settings, (Check(AUTO, False, error.message, cure),)
    return definite, (Check(AUTO, True, why),) if why else ()


def _read(file: Path) -> _Kept | None:
    try:
        return codec.from_json(file.read_bytes(), _Kept)
    except (FileNotFoundError, Invalid):
        return None
