"""What the fakes of vendors share: a real loopback server, a clock of their own, faults on demand, and a judge.

A fake is a class under `Cloud` whose methods marked `@on("POST", "/servers/{id}")` answer calls from
plain dicts. Every exchange goes through the vendor's contract; violations are kept, and `serving_cloud`
fails the test that has any, whatever the driver under test made of the answer.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from decent_cloud.kernel.clock import SECOND_MS, rfc3339
from tests.support.clouds.contract import Contract
from tests.support.loopback import Asked, Reply, serving

START_MS = 1_800_000_000_000
UNREADABLE = "(unreadable body)"


class FakeClock:
    """A fake's own time: `now_ms` stands still but for `advance` and `tick_ms` at every call."""

    def __init__(self, tick_ms: int = SECOND_MS) -> None:
        self.tick_ms = tick_ms
        self._now_ms = START_MS

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, by_ms: int) -> None:
        self._now_ms += by_ms

    def rfc3339(self, at_ms: int | None = None) -> str:
        """Return an instant as vendors write it, by default now."""
        return rfc3339(self._now_ms if at_ms is None else at_ms)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fake answers; `body` is JSON, None for no body. One that breaks the contract on purpose is not `judged`."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    judged: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `params` from the path's braces, `query` with all values, `body` decoded."""

    method: str
    path: str
    params: dict[str, str]
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any

    def one(self, name: str, default: str = "") -> str:
        """Return a query parameter's last value."""
        return self.query.get(name, [default])[-1]


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `times` calls that match, after `skip` that go well.

    With `answer` the fake answers that and does nothing; else it does what was asked, then `after`
    runs. `late_s` holds the answer back, `lost` closes the connection instead of answering.
    """

    method: str
    path: re.Pattern[str]
    times: int = 1
    skip: int = 0
    answer: Answer | None = None
    late_s: float = 0.0
    lost: bool = False
    after: Callable[[], object] | None = None

    def takes(self, call: Call) -> bool:
        """Tell whether this fault meets the call, and count it."""
        if self.times <= 0 or call.method != self.method or not self.path.search(call.path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


Handler = Callable[[Any, Call], Answer]
Marked = TypeVar("Marked", bound=Handler)


def on(method: str, path: str) -> Callable[[Marked], Marked]:
    """Mark a method of a fake as the one that answers a method and path."""

    def mark(handler: Marked) -> Marked:
        handler.__dict__.setdefault("routes", []).append((method, path))
        return handler

    return mark


class Cloud:
    """The part of a fake that every vendor has; a subclass adds state, `@on` methods and `gate`."""

    prefix: ClassVar[str] = ""

    def __init__(self, contract: Contract | None) -> None:
        self.contract = contract
        self.clock = FakeClock()
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.origin = ""
        self._lock = threading.RLock()
        self._routes = [
            (method, _pattern(self.prefix + path), handler)
            for name in dir(type(self))
            if callable(handler := getattr(type(self), name))
            for method, path in getattr(handler, "routes", ())
        ]

    def gate(self, call: Call) -> Answer | None:
        """Answer a call that does not get in (no or a wrong token), None for one that does."""
        return None

    def stamp(self, call: Call, answer: Answer) -> Answer:
        """Put on an answer what every answer has, such as rate-limit headers."""
        return answer

    def unknown_path(self, call: Call) -> Answer:
        """Answer a call that no method is marked for."""
        return Answer(404)

    def refuse(self, call: Call, violations: list[str]) -> Answer | None:
        """Answer a request that breaks the contract as the vendor would; None to serve it all the same."""
        return None

    def read_body(self, headers: dict[str, str], raw: bytes) -> Any:
        """Decode a request's body; JSON unless the vendor speaks otherwise."""
        return json.loads(raw) if raw else None

    # --- knobs ---

    def fail(
        self, method: str, path: str, answer: Answer, *, times: int = 1, skip: int = 0
    ) -> None:
        """Answer the next matching calls like this, and do nothing; `path` is a regular expression."""
        self._add(Fault(method, re.compile(path), times, skip, answer=answer))

    def lose_answer(self, method: str, path: str, *, times: int = 1, skip: int = 0) -> None:
        """Do what the next matching calls ask, then close the connection without an answer."""
        self._add(Fault(method, re.compile(path), times, skip, lost=True))

    def drop_call(self, method: str, path: str, *, times: int = 1, skip: int = 0) -> None:
        """Close the connection of the next matching calls and do nothing."""
        self._add(Fault(method, re.compile(path), times, skip, Answer(0), lost=True))

    def be_late(
        self,
        method: str,
        path: str,
        late_s: float,
        *,
        times: int = 1,
        skip: int = 0,
        undone: bool = False,
    ) -> None:
        """Answer the next matching calls after so many real seconds; what they ask is done at once, or never."""
        answer = Answer(504) if undone else None
        fault = Fault(method, re.compile(path), times, skip, answer, late_s)
        fault.lost = undone
        self._add(fault)

    def then(self, method: str, path: str, after: Callable[[], object], *, skip: int = 0) -> None:
        """Run something right after the next matching call was done, before its answer."""
        self._add(Fault(method, re.compile(path), 1, skip, after=after))

    def asked(self, method: str, path: str) -> list[Call]:
        """Return the calls so far that match; `path` is a regular expression."""
        return [each for each in self.calls if each.method == method and re.search(path, each.path)]

    # --- one call ---

    def answer(self, asked: Asked) -> Reply:
        target = urlsplit(asked.target)
        query = parse_qs(target.query, keep_blank_values=True)
        headers = dict(asked.headers)
        try:
            body = self.read_body(headers, asked.body)
        except ValueError:
            body = UNREADABLE
        call = Call(asked.method, target.path, {}, query, headers, body)
        with self._lock:
            self.clock.advance(self.clock.tick_ms)
            self.calls.append(call)
            fault = next((each for each in self.faults if each.takes(call)), None)
            answer = fault.answer if fault and fault.answer else self._served(call)
            if not (fault and fault.answer and fault.lost):
                answer = self.stamp(call, answer)
                self._judge_answer(call, answer)
        if fault and fault.after:
            fault.after()
        if fault and fault.late_s:
            time.sleep(fault.late_s)
        return Reply(cut=True) if fault and fault.lost else _reply(answer)

    def _served(self, call: Call) -> Answer:
        refused = self.gate(call)
        if refused is not None:
            return refused
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(call.path)
            if method == call.method and found:
                violations = self._judge_request(call)
                answer = self.refuse(call, violations) if violations else None
                params = {name: unquote(value) for name, value in found.groupdict().items()}
                return answer or self._handled(handler, replace(call, params=params))
        self.violations.append(f"{call.method} {call.path}: the fake does not know this call")
        return self.unknown_path(call)

    def _handled(self, handler: Handler, call: Call) -> Answer:
        """Run a handler; one that fails must not look like a broken connection to the driver."""
        try:
            return handler(self, call)
        except Exception as error:
            self.violations.append(f"{call.method} {call.path}: the fake failed: {error!r}")
            return Answer(500, judged=False)

    def _judge_request(self, call: Call) -> list[str]:
        if self.contract is None:
            return []
        found = self.contract.of_request(call.method, call.path, call.query, call.body)
        found = ["the body is not readable"] if call.body == UNREADABLE else found
        self.violations += [f"{call.method} {call.path}: {each}" for each in found]
        return found

    def _judge_answer(self, call: Call, answer: Answer) -> None:
        if self.contract is not None and answer.judged:
            found = self.contract.of_answer(call.method, call.path, answer.status, answer.body)
            place = f"{call.method} {call.path} -> {answer.status}"
            self.violations += [f"{place}: {each}" for each in found]

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self.faults.append(fault)


CloudT = TypeVar("CloudT", bound=Cloud)


@contextmanager
def serving_cloud(cloud: CloudT, tls: ssl.SSLContext | None = None) -> Iterator[CloudT]:
    """Serve a fake on loopback as `cloud.origin`; fails at the end if the contract was broken."""
    with serving(cloud.answer, tls) as origin:
        cloud.origin = origin
        yield cloud
    assert not cloud.violations, "\n".join(cloud.violations)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(
            f"(?P<{part}>[^/]+)" if number % 2 else re.escape(part)
            for number, part in enumerate(parts)
        )
    )


def _reply(answer: Answer) -> Reply:
    body = b"" if answer.body is None else json.dumps(answer.body).encode()
    headers = dict(answer.headers)
    if body:
        headers.setdefault("Content-Type", "application/json")
    return Reply(answer.status, body, headers, reason=answer.reason)
