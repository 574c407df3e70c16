"""SSH public keys as files name them, and the private keys beside them."""

from __future__ import annotations

from pathlib import Path

from decent_cloud.client.private_files import write_private
from decent_cloud.kernel.errors import Invalid, NotFound
from decent_cloud.kernel.ssh_keys import BadSshKey, SshPublicKey

MAX_FILE_BYTES = 256 * 1024


def public_keys(files: tuple[Path, ...]) -> tuple[str, ...]:
    """Return the keys of all files, each once, without options and comments.

    Errors: NotFound, BadSshKey naming file and cure.
    """
    found: dict[str, None] = {}
    for file in files:
        for line in _lines(public_file(file)):
            try:
                found[SshPublicKey.parse(line).line()] = None
            except BadSshKey as error:
                raise BadSshKey(f"{file}: {error.message}", field="ssh_key") from None
    if not found:
        raise Invalid(
            "a machine needs an SSH key: --ssh-key ~/.ssh/id_ed25519.pub", field="ssh_key"
        )
    return tuple(found)


def public_file(file: Path) -> Path:
    """Return the file itself, or the `.pub` beside a private key."""
    beside = file.with_name(f"{file.name}.pub")
    return beside if file.suffix != ".pub" and beside.exists() else file


def _lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_FILE_BYTES).decode(errors="replace")
    except FileNotFoundError:
        raise NotFound(
            f"there is no file {file}; make a key with: ssh-keygen -t ed25519", field="ssh_key"
        ) from None
    except IsADirectoryError:
        raise Invalid(f"{file} is a folder; name the .pub file in it", field="ssh_key") from None
    if "-----BEGIN" in text:  # not line by line: that would parse a private key's body
        raise BadSshKey(
            f"{file} is a PEM file, perhaps your private key; give the .pub file", field="ssh_key"
        )
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return lines or [""]


class Identities:
    """Which private key opens which machine, by its path; the key itself stays where it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, contract: str, ssh_key_file: str) -> None:
        """Remember the private key beside a public one, if it is there."""
        private = Path(ssh_key_file.removesuffix(".pub"))
        if ssh_key_file and private.is_file() and private != Path(ssh_key_file):
            write_private(self._folder / contract, f"{private}\n".encode())

    def replace(self, contract: str, ssh_key_file: str) -> None:
        """Remember another one: the machine does not take the old one any more."""
        (self._folder / contract).unlink(missing_ok=True)
        self.remember(contract, ssh_key_file)

    def find(self, contract: str) -> str:
        """Return the path of the private key, or nothing."""
        try:
            return (self._folder / contract).read_text().rstrip("\n")
        except FileNotFoundError:
            return ""
