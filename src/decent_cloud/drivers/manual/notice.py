"""Tells people what is to be done: in the log, and to a program of theirs until it takes it."""

from __future__ import annotations

import threading
import time

import msgspec
import structlog

from decent_cloud.drivers.contract import DriverError
from decent_cloud.drivers.manual.requests import WAITING, Request, Requests, Step
from decent_cloud.drivers.parts import program
from decent_cloud.kernel import codec

_log = structlog.get_logger("dc-agent")

_HOOK_TIMEOUT_S = 20
_AGAIN_S = 60.0


class Notice:
    """Tells of each request once; of one that the program did not take, again a minute later."""

    def __init__(self, requests: Requests, command: tuple[str, ...]) -> None:
        self._requests = requests
        self._command = command
        self._one_at_a_time = threading.Lock()
        self._not_before_s: dict[tuple[int, str], float] = {}

    def tell(self) -> None:
        """Tell what nobody was told yet, aside, so that no caller waits for the program."""
        waiting = [
            each
            for each in self._requests.all()
            if not each.told
            and each.step in WAITING
            and self._not_before_s.get((each.id, each.step), 0) < time.monotonic()
        ]
        if waiting:
            threading.Thread(target=self._tell, args=(waiting,), daemon=True).start()

    def _tell(self, waiting: list[Request]) -> None:
        if not self._one_at_a_time.acquire(blocking=False):
            return
        try:
            for each in waiting:
                self._tell_one(each)
        finally:
            self._one_at_a_time.release()

    def _tell_one(self, request: Request) -> None:
        key = (request.id, request.step.value)
        first = key not in self._not_before_s
        self._not_before_s[key] = time.monotonic() + _AGAIN_S
        if first:
            _log.warning("a person is needed", contract=request.contract, to_do=to_do(request))
        if self._command and not self._run(request):
            return
        self._requests.was_told(request.id)

    def _run(self, request: Request) -> bool:
        said = {
            "protocol": 1,
            "event": request.step.value,
            "contract": request.contract,
            "to_do": to_do(request),
            "wanted": msgspec.json.decode(request.wanted),
            "host": request.host,
            "port": request.port,
        }
        try:
            done = program.run(self._command, "/", codec.to_json(said) + b"\n", _HOOK_TIMEOUT_S)
        except DriverError as error:
            _log.warning("on_change failed", contract=request.contract, error=error.message)
            return False
        if done.code:
            _log.warning("on_change failed", contract=request.contract, exit_code=done.code)
        return done.code == 0


def to_do(request: Request) -> str:
    """Say what a person has to do now, and how to tell us; empty if nothing."""
    contract = request.contract
    if request.step is Step.ASKED:
        return (
            f"make the machine (dc-agent manual show {contract}), then: dc-agent manual complete "
            f"{contract} --host HOST --host-key KEY; or: dc-agent manual fail {contract} --reason TEXT"
        )
    if request.step is Step.REMOVAL_ASKED:
        return f"remove the machine and its data, then: dc-agent manual gone {contract}"
    return ""
