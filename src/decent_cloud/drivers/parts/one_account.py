"""One account as its driver uses it: opened when first needed; fingerprint, catalogue and trial remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from decent_cloud.drivers.contract import DriverError, Probe, TryLater
from decent_cloud.kernel.clock import MINUTE_MS, SECOND_MS, Clock


class Closable(Protocol):
    """A vendor's API that holds connections."""

    def close(self) -> None:
        """Release them."""
        ...


A = TypeVar("A", bound=Closable)
C = TypeVar("C")

ORDERS_MS = (
    10 * MINUTE_MS
)  # how old a catalogue may be to order by: the order itself says what sold out
CHECKS_MS = 5 * SECOND_MS  # and to compare offerings with, so that many at once read it once


class OneAccount(Generic[A, C]):
    """`open_api` reads the token and makes no call; a token belongs to one account for good."""

    def __init__(
        self,
        open_api: Callable[[], A],
        fingerprint: Callable[[A], str],
        read_catalogue: Callable[[A], C],
        clock: Clock,
    ) -> None:
        self._open = open_api
        self._fingerprint = fingerprint
        self._read_catalogue = read_catalogue
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: A | None = None
        self._closed = False
        self._scope = ""
        self._read: tuple[int, C] | None = None
        self._probed: Probe | None = None

    @property
    def api(self) -> A:
        """Return the open API. Errors: AuthFailed for the token's file, TryLater once closed."""
        with self._lock:
            if self._closed:
                raise TryLater("the driver is closed")
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def scope(self) -> str:
        """Read the fingerprint of whom the token is for, now."""
        self._scope = self._fingerprint(self.api)
        return self._scope

    def known_scope(self) -> str:
        """Return the fingerprint; it is read once."""
        return self._scope or self.scope()

    def catalogue(self, longest_ms: int = 0) -> C:
        """Return what is on sale, at most so old; live without."""
        read = self._read
        if read is None or not 0 <= self._clock.now_ms() - read[0] < longest_ms:
            read = (self._clock.now_ms(), self._read_catalogue(self.api))
            self._read = read
        return read[1]

    def probe(self, run: Callable[[], Probe]) -> Probe:
        """Try it once per process, and again if that failed or another account answers."""
        probed = self._probed
        if probed is None or not probed.passed or not self._is_same(probed.scope):
            self._probed = probed = run()
        return probed

    def close(self) -> None:
        """Release connections; later calls are TryLater."""
        with self._lock:
            self._closed = True
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _is_same(self, known: str) -> bool:
        try:
            return self.scope() == known
        except DriverError:
            return False
