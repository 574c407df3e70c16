"""SSH public keys as people paste them, reduced to type and blob; everything else is refused."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from decent_cloud.kernel.errors import Invalid

MAX_LINE = 8_192  # a 16,384-bit RSA key needs about 2,800 characters
MIN_RSA_BITS = 2_048
MAX_RSA_BITS = 16_384

_CURVE_BYTES = {"nistp256": 32, "nistp384": 48, "nistp521": 66}
_ED25519 = "ssh-ed25519"
_RSA = "ssh-rsa"
_SK_ED25519 = "sk-ssh-ed25519@openssh.com"
_SK_ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
_ECDSA = {f"ecdsa-sha2-{curve}": curve for curve in _CURVE_BYTES}
KNOWN_TYPES = frozenset({_ED25519, _RSA, _SK_ED25519, _SK_ECDSA, *_ECDSA})

_MAKE_ONE = "make one with: ssh-keygen -t ed25519"


class BadSshKey(Invalid):
    """This is not an SSH public key that can be used here."""

    code = "bad_ssh_key"


@dataclass(frozen=True, slots=True)
class SshPublicKey:
    """A public key reduced to what it is: type and base64 blob, no options, no comment."""

    type: str
    blob: str

    def line(self) -> str:
        """Return the authorized_keys line."""
        return f"{self.type} {self.blob}"

    def fingerprint(self) -> str:
        """Return the SHA256 fingerprint as `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> SshPublicKey:
        """Read one public-key line; raises BadSshKey naming the cure. The comment is dropped."""
        words = _words(text)
        if len(words) < 2:
            raise BadSshKey(
                "the key's base64 part is missing; paste the whole line of the .pub file"
            )
        type_, blob = words[0], words[1]
        _check_blob(type_, _decode(blob))
        return cls(type_, blob)


def _words(text: str) -> list[str]:
    """Split the line; refuse what is not one plain public-key line."""
    line = text.strip()
    if not line:
        raise BadSshKey("the key is empty; paste the line of your .pub file")
    if "-----BEGIN" in line:
        raise BadSshKey("this is a PEM file, perhaps your private key; give the .pub file instead")
    if line.startswith("---- BEGIN"):
        raise BadSshKey("this is an RFC 4716 key; convert it with: ssh-keygen -i -f FILE")
    if len(line) > MAX_LINE:
        raise BadSshKey(f"the key is longer than {MAX_LINE} characters; give one .pub line")
    if any(ord(char) < 32 and char != "\t" for char in line):
        raise BadSshKey("the key has line breaks or control characters; give one .pub line a key")
    words = line.split()
    if words[0] not in KNOWN_TYPES:
        raise BadSshKey(_why_not_a_type(words))
    return words


def _why_not_a_type(words: list[str]) -> str:
    """Say what the first word is, if not a type that we take, and what to do about it."""
    first = words[0]
    if "-cert-v0" in first:
        return "certificates are not taken; give the plain public key they were made from"
    if first == "ssh-dss":
        return f"DSA keys are too weak; {_MAKE_ONE}"
    if any(word in KNOWN_TYPES for word in words[1:]) or "=" in first or "," in first:
        return "options before the key are not taken; remove everything before the key's type"
    return f"unknown key type; taken are {', '.join(sorted(KNOWN_TYPES))}; {_MAKE_ONE}"


def _decode(blob: str) -> bytes:
    """Decode canonical base64."""
    try:
        raw = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSshKey("the key's base64 part is damaged; copy the .pub line again") from error
    if base64.b64encode(raw).decode() != blob:
        raise BadSshKey("the key's base64 part is not canonical; copy the .pub line again")
    return raw


def _check_blob(type_: str, raw: bytes) -> None:
    """Check the wire form (RFC 4253 section 6.6, RFC 5656, RFC 8709, OpenSSH PROTOCOL.u2f)."""
    reader = _Reader(raw)
    if reader.string() != type_.encode():
        raise BadSshKey("the key's type differs from what its base64 part says; copy it again")
    if type_ == _RSA:
        _check_rsa(reader)
    elif type_ in {_ED25519, _SK_ED25519}:
        if len(reader.string()) != 32:
            raise BadSshKey("an Ed25519 key has 32 bytes, this one does not; copy it again")
    else:
        _check_point(reader, _ECDSA.get(type_, "nistp256"))
    if type_ in {_SK_ED25519, _SK_ECDSA} and not reader.string():
        raise BadSshKey("the security key's application is empty; copy the .pub line again")
    if reader.rest():
        raise BadSshKey("there are bytes after the key's end; copy the .pub line again")


def _check_rsa(reader: _Reader) -> None:
    exponent, modulus = reader.positive_integer(), reader.positive_integer()
    bits = modulus.bit_length()
    if bits < MIN_RSA_BITS:
        raise BadSshKey(f"RSA keys need {MIN_RSA_BITS} bits, this one has {bits}; {_MAKE_ONE}")
    if bits > MAX_RSA_BITS or exponent < 3 or exponent % 2 == 0 or modulus % 2 == 0:
        raise BadSshKey(f"the RSA key's numbers make no sense; {_MAKE_ONE}")


def _check_point(reader: _Reader, curve: str) -> None:
    size = _CURVE_BYTES[curve]
    if reader.string() != curve.encode():
        raise BadSshKey("the key's curve differs from its type; copy the .pub line again")
    point = reader.string()
    if len(point) != 1 + 2 * size or point[0] != 4:
        raise BadSshKey("the key's curve point has the wrong form; copy the .pub line again")


class _Reader:
    """Walks over the length-prefixed fields of an SSH blob."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def string(self) -> bytes:
        """Read one string; a length beyond the end is a refusal."""
        start = self._at + 4
        size = int.from_bytes(self._raw[self._at : start], "big")
        end = start + size
        if start > len(self._raw) or end > len(self._raw):
            raise BadSshKey("the key is cut off; copy the whole .pub line again")
        self._at = end
        return self._raw[start:end]

    def positive_integer(self) -> int:
        """Read one mpint that is positive and has no needless leading zero."""
        raw = self.string()
        needless = len(raw) > 1 and raw[0] == 0 and raw[1] < 0x80
        if not raw or raw[0] >= 0x80 or raw == b"\0" or needless:
            raise BadSshKey(f"the RSA key's numbers make no sense; {_MAKE_ONE}")
        return int.from_bytes(raw, "big")

    def rest(self) -> bytes:
        """Return what was not read."""
        return self._raw[self._at :]
