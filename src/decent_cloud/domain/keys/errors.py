"""Refusals of the key protocol: one class and one stable code per kind of failure."""

from __future__ import annotations

from decent_cloud.kernel.errors import DecentError, Kind


class KeyRefused(DecentError):
    """A key, signature or sealed message was refused."""

    code = "key_refused"
    kind = Kind.INVALID


class NotCanonical(KeyRefused):
    """The bytes are not the one canonical form of what they say."""

    code = "not_canonical"


class BadShape(KeyRefused):
    """A signed object has other fields, types or values than its kind allows."""

    code = "bad_shape"


class BadPoint(KeyRefused):
    """A public key or signature is not an acceptable curve point."""

    code = "bad_point"


class BadSignature(KeyRefused):
    """A signature does not verify."""

    code = "bad_signature"


class WrongSigner(KeyRefused):
    """A signer is missing, or may not sign this."""

    code = "wrong_signer"


class WrongAccount(KeyRefused):
    """The statement belongs to another account."""

    code = "wrong_account"


class ChainRule(KeyRefused):
    """The link breaks a rule of the key chain."""

    code = "chain_rule"


class WrongSequence(KeyRefused):
    """The link or statement does not follow the last one that is known."""

    code = "wrong_sequence"


class RolledBack(KeyRefused):
    """The key chain is shorter than one that was seen before."""

    code = "rolled_back"


class Forked(KeyRefused):
    """The key chain differs from one that was seen before."""

    code = "forked"


class UnknownHead(KeyRefused):
    """The statement names a link of the key chain that has not been seen yet."""

    # The reader's copy of the chain is behind; a newer copy may settle it.
    code = "unknown_head"
    kind = Kind.TRY_LATER


class CannotOpen(KeyRefused):
    """The sealed message cannot be opened here."""

    code = "cannot_open"


class BadPairing(KeyRefused):
    """The pairing code or message is not valid."""

    code = "bad_pairing"


class BadWords(KeyRefused):
    """These are not twelve recovery words."""

    code = "bad_words"
