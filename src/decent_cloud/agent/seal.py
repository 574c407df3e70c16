"""Makes an instance's secrets and seals them to the tenant; plaintext stays in this process's memory."""

from __future__ import annotations

import base64
import secrets
import struct
import threading
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from decent_cloud.domain.keys.access import Access
from decent_cloud.domain.keys.chain import ChainState
from decent_cloud.domain.keys.credentials import Sealed, Subject, seal_credential
from decent_cloud.domain.keys.devices import DeviceKeys
from decent_cloud.drivers.contract import FirstRun, HostKey, Secret, SshKey

PASSWORD_BYTES = 18  # 144 bits
SSH_PORT = 22
_KEY_TYPE = b"ssh-ed25519"


@dataclass(frozen=True, slots=True)
class InstanceSecrets:
    """What opens one machine; lost with the process, and then made anew."""

    password: Secret = field(repr=False)
    host_key: HostKey


@dataclass(frozen=True, slots=True)
class Door:
    """Where the machine answers. An empty host: not known when it was sealed, see the contract."""

    user: str
    host: str = ""
    port: int = SSH_PORT


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything a create call needs that is not in the journal."""

    secrets: InstanceSecrets
    subject: Subject
    tenant: ChainState
    ssh_keys: tuple[SshKey, ...]
    door: Door
    first: FirstRun | None = None  # what runs in the machine once it is up


def new_secrets() -> InstanceSecrets:
    """Make a password and an SSH host key."""
    seed = secrets.token_bytes(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (_KEY_TYPE, public))
    line = f"{_KEY_TYPE.decode()} {base64.b64encode(blob).decode()}"
    password = Secret(secrets.token_urlsafe(PASSWORD_BYTES))
    return InstanceSecrets(password, HostKey(line, Secret(seed.hex())))


def seal(made: Prepared, door: Door, keys: DeviceKeys) -> Sealed:
    """Sign as this agent and seal to the newest generation of the tenant's account."""
    access = Access(
        host=door.host,
        port=door.port,
        user=door.user,
        host_keys=(made.secrets.host_key.public,),
        password=made.secrets.password.reveal(),
    )
    return seal_credential(made.subject, access, keys, made.tenant.generation)


class Vault:
    """What attempts were prepared whose machine is being made, in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Prepared] = {}

    def keep(self, attempt: str, made: Prepared) -> None:
        """Hold it until it is dropped."""
        with self._lock:
            self._held[attempt] = made

    def get(self, attempt: str) -> Prepared | None:
        """Return what was prepared for an attempt of this run."""
        with self._lock:
            return self._held.get(attempt)

    def drop(self, attempt: str) -> None:
        """Forget them: the machine has them now."""
        with self._lock:
            self._held.pop(attempt, None)
