"""The secrets of a machine, as files for the not yet started container: never in env, argv or labels."""

from __future__ import annotations

import io
import tarfile

from decent_cloud.drivers.contract import (
    FirstRun,
    InstanceSpec,
    Rejected,
    RunState,
    SshKey,
    TryLater,
)
from decent_cloud.drivers.docker.api import Engine, Missing, Taken
from decent_cloud.drivers.parts import authorized_keys, run_once
from decent_cloud.drivers.parts.host_key import dropbear_private, openssh_private
from decent_cloud.drivers.parts.password_hash import hash_password
from decent_cloud.drivers.parts.set_password import COMMAND, check_exit, standard_input
from decent_cloud.drivers.parts.tiny_rootfs import SHADOW_HEAD, SHADOW_TAIL

SHADOW = "etc/shadow"
MARKER = "etc/decent-attempt"  # written last: where it is, the rest is complete


def access_tar(spec: InstanceSpec, shadow: str | None = None) -> bytes:
    """Return host key, authorized keys, password hash and the attempt's marker as a tar.

    `shadow` is the image's own file where it has more accounts than the tiny image.
    """
    keys = "".join(f"{key.line()}\n" for key in spec.ssh_keys)
    files = {
        "etc/dropbear/host_key": (dropbear_private(spec.host_key), 0o600),
        "etc/ssh/ssh_host_ed25519_key": (openssh_private(spec.host_key), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (f"{spec.host_key.public}\n".encode(), 0o644),
        "root/.ssh/authorized_keys": (keys.encode(), 0o600),
        SHADOW: (_with_password(shadow, spec.password.reveal()).encode(), 0o600),
        MARKER: (spec.attempt.encode(), 0o600),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder, mode in (("etc/dropbear", 0o755), ("etc/ssh", 0o755), ("root/.ssh", 0o700)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def set_password(engine: Engine, container: str, user: str, password: str) -> None:
    """Set a user's password inside a running container.

    Errors: Rejected, TryLater.
    """
    code, _ = _run(engine, container, COMMAND, standard_input(user, password))
    check_exit(code)


def replace_keys(
    engine: Engine, container: str, user: str, keys: tuple[SshKey, ...], kept: SshKey | None
) -> None:
    """Replace a user's SSH keys inside a running container.

    Errors: Rejected, TryLater.
    """
    fed = authorized_keys.fed_to_replace(user, keys, kept)
    code, _ = _run(engine, container, authorized_keys.REPLACE, fed)
    authorized_keys.check_exit(code)


def read_keys(engine: Engine, container: str, user: str) -> tuple[str, ...]:
    """Read which keys a running container takes for a user.

    Errors: Rejected, TryLater, Broken.
    """
    fed = authorized_keys.fed_to_read(user)
    code, said = _run(engine, container, authorized_keys.READ, fed)
    authorized_keys.check_exit(code)
    return authorized_keys.lines_in(said)


def _run(engine: Engine, container: str, command: tuple[str, ...], fed: bytes) -> tuple[int, str]:
    try:
        return engine.run_in(container, list(command), fed)
    except Missing as error:
        raise Rejected("the machine is gone") from error
    except Taken as error:
        raise TryLater("the machine does not run, or is restarting", after_s=2) from error


def run_first(engine: Engine, container: str, script: FirstRun) -> RunState:
    """Have a first script run at most once inside a running container, and tell how it stands.

    Errors: Rejected, TryLater, Broken.
    """
    fed = run_once.standard_input(script)
    try:
        code, said = engine.run_raw(container, list(run_once.command()), fed)
    except Missing as error:
        raise Rejected("the machine is gone") from error
    except Taken as error:
        raise TryLater("the machine does not run, or is restarting", after_s=2) from error
    return run_once.read_state(code, said)


def first_file(tar: bytes) -> str:
    """Return the text of the only file in an archive that the engine gave."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for entry in archive:
            if (content := archive.extractfile(entry)) is not None:
                return content.read().decode(errors="replace")
    return ""


def _with_password(shadow: str | None, password: str) -> str:
    """Return the shadow file with root's hash replaced, other accounts as they are."""
    others = [line for line in (shadow or "").splitlines() if not line.startswith(SHADOW_HEAD)]
    root = f"{SHADOW_HEAD}{hash_password(password)}{SHADOW_TAIL}"
    return root + "".join(f"{line}\n" for line in others)
