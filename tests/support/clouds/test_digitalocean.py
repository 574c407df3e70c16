"""DigitalOcean's own client goes its normal way on the fake, where somebody has installed it (83 MB: not locked)."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.clouds.digitalocean import ACCOUNT, TOKEN, DigitalOceanCloud
from tests.support.clouds.server import serving_cloud

HOST = "127.0.0.1"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    pydo = pytest.importorskip("pydo", reason="pip install pydo==0.44.0 to let it judge the fake")
    certificate = own_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with (
        serving_cloud(DigitalOceanCloud(), context) as cloud,
        pydo.Client(token=TOKEN, endpoint=cloud.origin, connection_verify=str(certificate)) as made,
    ):
        yield made


def test_account_order_wait_find_stop_delete(client: Any) -> None:
    assert client.account.get()["account"]["uuid"] == ACCOUNT
    answer = client.droplets.create(body=order(tags=["decent-contract:one"]))
    number = answer["droplet"]["id"]
    assert answer["droplet"]["status"] == "new"
    assert until(client, number, "active")["networks"]["v4"]
    assert len(client.droplets.list(tag_name="decent-contract:one")["droplets"]) == 1
    action = client.droplet_actions.post(droplet_id=number, body={"type": "shutdown"})["action"]
    assert action["status"] == "in-progress"
    until(client, number, "off")
    kinds = [each["type"] for each in client.droplet_actions.list(droplet_id=number)["actions"]]
    assert kinds == ["shutdown", "create"]
    client.droplets.destroy(droplet_id=number)
    assert client.droplets.get(droplet_id=number)["id"] == "not_found"


def test_the_catalogue_is_read(client: Any) -> None:
    assert client.sizes.list()["sizes"]
    assert client.regions.list()["regions"]
    assert client.images.get(image_id="debian-12-x64")["image"]["slug"] == "debian-12-x64"


def test_a_wrong_order_is_refused_in_the_vendors_words(client: Any) -> None:
    with pytest.raises(Exception, match="invalid size"):
        client.droplets.create(body=order(size="none"))


def order(**changes: object) -> dict[str, object]:
    usual = {"name": "one", "region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-12-x64"}
    return {**usual, **changes}


def until(client: Any, number: int, status: str) -> dict[str, Any]:
    for _ in range(30):
        droplet: dict[str, Any] = client.droplets.get(droplet_id=number)["droplet"]
        if droplet["status"] == status:
            return droplet
    raise AssertionError(f"never {status}")


def own_certificate(folder: Path) -> Path:
    """Write a certificate for this host and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "certificate.pem"
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + pem)
    return path
