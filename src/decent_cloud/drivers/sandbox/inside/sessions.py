"""A tenant's sessions inside a machine: commands over pipes, shells on a real terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
import struct
import termios
from collections.abc import Callable
from pathlib import Path

import asyncssh

_CHUNK = 65_536
_SHELLS = ("/bin/bash", "/bin/sh")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KILLED_BY_SIGNAL = 128

Process = asyncssh.SSHServerProcess[bytes]


class Sessions:
    """Starts what tenants ask for, each in a session of its own with the machine's limits."""

    def __init__(self, home: Path, user: str, memory_bytes: int) -> None:
        self._home = home
        self._user = user
        self._memory_bytes = memory_bytes
        self._shell = next((each for each in _SHELLS if Path(each).exists()), "/bin/sh")

    def environment(self, process: Process | None = None) -> dict[str, str]:
        """Return the variables of a login; of the client's own only the language passes."""
        given = dict(process.env) if process is not None else {}
        kept = {k: v for k, v in given.items() if k == "LANG" or k.startswith("LC_")}
        own = {
            "HOME": str(self._home),
            "USER": self._user,
            "LOGNAME": self._user,
            "SHELL": self._shell,
            "PATH": _PATH,
        }
        if process is not None and process.term_type:
            own["TERM"] = process.term_type
        return {**kept, **own}

    def limit(self) -> None:
        """Set what a tenant's process may take; for the child, before its program."""
        resource.setrlimit(resource.RLIMIT_AS, (self._memory_bytes, self._memory_bytes))

    async def run(self, process: Process) -> None:
        """Serve one session to its end."""
        try:
            if process.term_type:
                await self._on_terminal(process)
            else:
                await self._on_pipes(process)
        except (OSError, asyncssh.Error) as error:
            with contextlib.suppress(OSError, asyncssh.Error):
                process.stderr.write(f"{error}\n".encode())
                process.exit(_KILLED_BY_SIGNAL - 1)

    def _argv(self, process: Process) -> list[str]:
        if process.command is None:
            return [f"-{Path(self._shell).name}"]
        return [self._shell, "-c", process.command]

    async def _on_pipes(self, process: Process) -> None:
        child = await asyncio.create_subprocess_exec(
            *self._argv(process),
            executable=self._shell,
            cwd=self._home,
            env=self.environment(process),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=self.limit,
        )
        assert child.stdin is not None  # noqa: S101 - pipes were asked for
        assert child.stdout is not None  # noqa: S101
        assert child.stderr is not None  # noqa: S101
        feeding = asyncio.create_task(_feed(process, child.stdin, _signaller(child.pid)))
        hanging_up = asyncio.create_task(_hang_up(process, child.pid))
        try:
            await asyncio.gather(
                _pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr)
            )
            _leave(process, await child.wait())
        finally:
            feeding.cancel()
            hanging_up.cancel()

    async def _on_terminal(self, process: Process) -> None:
        master, slave = os.openpty()
        try:
            _resize(master, process.term_size)
            child = await asyncio.create_subprocess_exec(
                *self._argv(process),
                executable=self._shell,
                cwd=self._home,
                env=self.environment(process),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=self._take_terminal,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        reader, writer = await _streams_of(master)
        resize: Callable[[tuple[int, int, int, int]], None] = lambda size: _resize(master, size)  # noqa: E731
        feeding = asyncio.create_task(_feed(process, writer, _signaller(child.pid), resize))
        hanging_up = asyncio.create_task(_hang_up(process, child.pid))
        try:
            with contextlib.suppress(OSError):  # the last one on the terminal left
                await _pump(reader, process.stdout)
            _leave(process, await child.wait())
        finally:
            feeding.cancel()
            hanging_up.cancel()
            writer.close()

    def _take_terminal(self) -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.limit()


async def _pump(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Copy what the program says until it says no more."""
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()


async def _feed(
    process: Process,
    sink: asyncio.StreamWriter,
    signaller: Callable[[str], None],
    resize: Callable[[tuple[int, int, int, int]], None] | None = None,
) -> None:
    """Copy what the client types; what comes between, sizes and signals, is carried out."""
    with contextlib.suppress(OSError):
        while True:
            try:
                data = await process.stdin.read(_CHUNK)
            except asyncssh.TerminalSizeChanged as change:
                if resize is not None:
                    resize(change.term_size)
                continue
            except asyncssh.SignalReceived as received:
                signaller(received.signal)
                continue
            except asyncssh.BreakReceived:
                signaller("INT")
                continue
            if not data:
                break
            sink.write(data)
            await sink.drain()
        if resize is None:
            sink.close()
        else:
            sink.write(b"\x04")  # the end of a terminal's input is a character


def _signaller(pid: int) -> Callable[[str], None]:
    def send(name: str) -> None:
        number = getattr(signal, f"SIG{name}", None)
        if isinstance(number, signal.Signals):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    return send


async def _hang_up(process: Process, pid: int) -> None:
    """Tell the program when the client is gone."""
    await process.channel.wait_closed()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGHUP)


def _leave(process: Process, code: int) -> None:
    """Pass on how the program ended."""
    if code < 0:
        name = signal.Signals(-code).name.removeprefix("SIG")
        process.exit_with_signal(name)
    else:
        process.exit(code)


def _resize(terminal: int, size: tuple[int, int, int, int]) -> None:
    width, height, pixel_width, pixel_height = size
    packed = struct.pack("HHHH", height, width, pixel_width, pixel_height)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)


async def _streams_of(terminal: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a terminal's own end for reading and writing."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(terminal), "rb", 0)
    )
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(terminal, "wb", 0)
    )
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)
