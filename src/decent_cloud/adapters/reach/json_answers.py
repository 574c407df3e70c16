"""Fetching JSON from a public service: each name resolved by the guard, connections reused, size and time bounded."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable
from decimal import Decimal
from urllib.parse import urlencode, urlsplit

import httpcore

from decent_cloud.adapters.reach.guard import AddressGuard
from decent_cloud.app.ports.price_sources import Query, SourceFailed
from decent_cloud.kernel.errors import DecentError, Invalid

MOST_BYTES = 256 * 1024
DEADLINE_S = 8.0
MOST_CONNECTIONS = 4


class GuardedJson:
    """Keeps the port `JsonAnswers` for one origin. Proxies of the environment are not used, redirects not followed."""

    def __init__(
        self,
        origin: str,
        guard: AddressGuard,
        *,
        headers: Iterable[tuple[str, str]] = (),
        deadline_s: float = DEADLINE_S,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`origin` is scheme, host, perhaps port and a path before every other. Errors: Invalid for another thing."""
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise Invalid(f"{origin}: write an address such as https://api.example.com")
        self._origin = origin.rstrip("/")
        self._deadline_s = deadline_s
        self._most_bytes = most_bytes
        self._headers = [
            ("Host", parts.netloc.rpartition("@")[2]),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", "decent-cloud-prices"),
            *headers,
        ]
        self._pool = httpcore.AsyncConnectionPool(
            # Reading the system's certificates takes longer than a request.
            ssl_context=ssl.create_default_context() if parts.scheme == "https" else None,
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_CONNECTIONS,
            keepalive_expiry=90.0,
            network_backend=_Guarded(guard),
        )

    async def get(self, path: str, query: Query) -> object:
        """Return the decoded body of a 200."""
        url = f"{self._origin}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            async with asyncio.timeout(self._deadline_s):
                body = await self._body(url)
        except TimeoutError:
            raise SourceFailed(f"no answer within {self._deadline_s:g} s") from None
        except DecentError:
            raise
        except (httpcore.TimeoutException, httpcore.NetworkError, OSError) as error:
            raise SourceFailed(f"cannot be reached ({type(error).__name__})") from error
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise SourceFailed("does not speak HTTP as it should") from error
        return decoded(body)

    async def close(self) -> None:
        """Close its connections."""
        await self._pool.aclose()

    async def _body(self, url: str) -> bytes:
        async with self._pool.stream("GET", url, headers=self._headers) as answer:
            if answer.status != 200:
                raise SourceFailed(f"answered HTTP {answer.status}")
            found = bytearray()
            async for chunk in answer.aiter_stream():
                found += chunk
                if len(found) > self._most_bytes:
                    raise SourceFailed(f"answered more than {self._most_bytes // 1024} KiB")
            return bytes(found)


def decoded(body: bytes) -> object:
    """Read JSON; numbers with a point become Decimal. Errors: SourceFailed for anything else."""
    try:
        found: object = json.loads(body, parse_float=Decimal, parse_constant=_refused)
    except (ValueError, RecursionError, ArithmeticError):
        raise SourceFailed("answered something that is not JSON") from None
    return found


def _refused(word: str) -> object:
    raise ValueError(word)


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that the guard lets through, never to the name again."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failed: Exception = OSError("no address")
        for address in await self._guard.resolve(host, port):
            try:
                return await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failed = error
        raise failed

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
