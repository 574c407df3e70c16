"""Tasks: what Proxmox works on by itself, followed by its UPID until it stops."""

from __future__ import annotations

from collections.abc import Callable

from decent_cloud.drivers.contract import Broken
from decent_cloud.drivers.proxmox import errors
from decent_cloud.drivers.proxmox.api import ProxmoxApi

_POLL_S = 1.0
_FIRST_POLL_S = 0.2


class Tasks:
    """Waits for tasks, a bounded time each."""

    def __init__(self, api: ProxmoxApi, pause: Callable[[float], None]) -> None:
        self._api = api
        self._pause = pause

    def finish(self, upid: str, most_s: float) -> bool:
        """Wait for a task; False if it still runs after `most_s`. A warning is success.

        Errors: what the text of a failed task means; Broken where it means nothing known.
        """
        if not upid:
            return True
        waited_s, pause_s = 0.0, _FIRST_POLL_S
        while True:
            task = self._api.task(upid)
            if task.get("status") == "stopped":
                _judge(str(task.get("type", "")), str(task.get("exitstatus", "")))
                return True
            if waited_s >= most_s:
                return False
            self._pause(pause_s)
            waited_s += pause_s
            pause_s = min(pause_s * 2, _POLL_S)


def _judge(kind: str, outcome: str) -> None:
    if outcome == "OK" or outcome.startswith("WARNINGS"):
        return
    what = f"Proxmox's task {kind} failed: {outcome[:300] or 'without a reason'}"
    raise errors.judge_text(outcome, what) or Broken(what)
