"""Runs a program of the provider's once: its input from memory, a time limit, and no more output than it may have."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

from decent_cloud.drivers.contract import Broken, TryLater

MAX_OUTPUT = 4 << 20
_MAX_ERRORS = 64 << 10
_GRACE_S = 2.0
_CHUNK = 64 << 10
_LOOK_S = 0.05
_AFTER_EXIT_S = 1.0
# Never the agent's own environment: it may hold what no script should see.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended and what it printed."""

    code: int
    output: bytes
    errors: str


def run(command: tuple[str, ...], folder: str, given: bytes, timeout_s: float) -> Done:
    """Run a program to its end; one that is late is ended with its whole process group.

    Something that the program left running in a session of its own goes on.
    Errors: Broken (cannot be started, or prints without end), TryLater (not done in time).
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise Broken(f"cannot run {command[0]}: {error.strerror}", path=command[0]) from error
    with process:
        try:
            return _Talk(process, given, time.monotonic() + timeout_s).hold()
        except TimeoutError:
            raise TryLater(f"{command[0]} was not done within {timeout_s:g} s") from None
        finally:
            _end(process)


class _Talk:
    """Writes and reads without waiting for either side, until the program has ended."""

    def __init__(self, process: subprocess.Popen[bytes], given: bytes, end_s: float) -> None:
        self._process = process
        self._left = memoryview(given)
        self._end_s = end_s
        self._texts: dict[int, bytearray] = {}
        self._selector = selectors.DefaultSelector()

    def hold(self) -> Done:
        process = self._process
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - all are pipes
        output, errors, entry = (
            each.fileno() for each in (process.stdout, process.stderr, process.stdin)
        )
        with self._selector:
            for number in (output, errors, entry):
                os.set_blocking(number, False)
            self._texts = {output: bytearray(), errors: bytearray()}
            self._selector.register(output, selectors.EVENT_READ)
            self._selector.register(errors, selectors.EVENT_READ)
            self._selector.register(entry, selectors.EVENT_WRITE)
            self._turn()
        text = bytes(self._texts[errors][-_MAX_ERRORS:]).decode(errors="replace")
        return Done(process.returncode, bytes(self._texts[output]), text)

    def _turn(self) -> None:
        """Go on until all is read, or the program has ended and only its children hold the pipes."""
        ended_s = 0.0
        while self._selector.get_map():
            for key, _ in self._selector.select(_LOOK_S):
                self._serve(key.fd)
            now_s = time.monotonic()
            if self._process.poll() is not None:
                ended_s = ended_s or now_s
                if now_s - ended_s > _AFTER_EXIT_S or not self._selector.select(0):
                    return
            elif now_s > self._end_s:
                raise TimeoutError
        while self._process.poll() is None:
            if time.monotonic() > self._end_s:
                raise TimeoutError
            time.sleep(_LOOK_S)

    def _serve(self, number: int) -> None:
        if number in self._texts:
            self._read(number)
        else:
            self._write(number)

    def _read(self, number: int) -> None:
        chunk = os.read(number, _CHUNK)
        if not chunk:
            self._selector.unregister(number)
            return
        text = self._texts[number]
        text += chunk
        if number == self._number_of_output and len(text) > MAX_OUTPUT:
            raise Broken(f"{self._process.args!r:.200} prints more than {MAX_OUTPUT} bytes")
        if number != self._number_of_output:
            del text[:-_MAX_ERRORS]

    @property
    def _number_of_output(self) -> int:
        return next(iter(self._texts))

    def _write(self, number: int) -> None:
        try:
            written = os.write(number, self._left[:_CHUNK])
        except BrokenPipeError:  # it wants no more
            written = len(self._left)
        self._left = self._left[written:]
        if not self._left:
            self._selector.unregister(number)
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # type: ignore[union-attr]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the program: asked first, then killed."""
    if process.poll() is not None:
        return
    for number, wait_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
            return
