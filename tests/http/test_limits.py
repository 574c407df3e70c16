"""Rate limits: per address, per identity, tighter for unsigned writes, and told in headers."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from decent_cloud.http.addresses import bucket_of, client_of
from decent_cloud.http.limits import Buckets
from decent_cloud.kernel.errors import RateLimited
from decent_cloud.programs.server_settings import ServerSettings
from tests.support.people import Api, genesis, genesis_body, new_person
from tests.support.platform import running_platform


def test_a_bucket_fills_with_time() -> None:
    now = [0.0]
    bucket = Buckets("p", per_minute=3, monotonic=lambda: now[0])
    assert [bucket.take("a").granted for _ in range(4)] == [True, True, True, False]
    assert bucket.take("b").remaining == 2
    refused = bucket.take("a")
    assert refused.next_s == 20
    with pytest.raises(RateLimited, match="20 s"):
        refused.check()
    now[0] = 20.0
    assert bucket.take("a").granted
    assert not bucket.take("a").granted
    now[0] = 1_000.0
    assert bucket.take("a").remaining == 2


def test_too_many_requests_are_told_when_to_come_back(tmp_path: Path) -> None:
    settings = ServerSettings(
        data=str(tmp_path), listen="127.0.0.1:0", requests_per_minute_identity=5
    )
    with running_platform(tmp_path, settings=settings) as platform:
        ada, bob = new_person(platform.url), new_person(platform.url)
        first = ada.api.get("/accounts/me")
        assert first.headers["ratelimit"] == '"identity";r=4;t=0'
        assert first.headers["ratelimit-policy"] == '"identity";q=5;w=60'
        answers = [ada.api.get("/accounts/me") for _ in range(6)]
        assert answers[-1].status_code == 429
        assert answers[-1].json()["code"] == "rate_limited"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
        assert bob.api.get("/accounts/me").status_code == 200


def test_unsigned_writes_have_a_tighter_limit(tmp_path: Path) -> None:
    settings = ServerSettings(
        data=str(tmp_path), listen="127.0.0.1:0", unsigned_writes_per_minute_address=2
    )
    with running_platform(tmp_path, settings=settings) as platform:
        api = Api(platform.url)
        codes = []
        for _ in range(3):
            link, _, _, seed = genesis()
            codes.append(api.post("/accounts", genesis_body(link, seed)).status_code)
        assert codes == [201, 201, 429]
        assert api.get("/platform").status_code == 200


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_forwarded_addresses_count_from_known_proxies_only(
    peer: str, forwarded: str, client: str
) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope: Any = {"client": (peer, 1), "headers": headers}
    assert client_of(scope, (ip_network("10.0.0.0/8"),)) == client
    assert client_of(scope, ()) == peer.removeprefix("::ffff:")


def test_an_ipv6_site_shares_a_bucket() -> None:
    assert bucket_of("2001:db8:1:2:3::4") == bucket_of("2001:db8:1:2:ffff::1")
    assert bucket_of("2001:db8:1:3::1") != bucket_of("2001:db8:1:2::1")
    assert bucket_of("192.0.2.1") == "192.0.2.1"
    assert bucket_of("") == ""
