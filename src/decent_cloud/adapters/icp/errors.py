"""What can go wrong between us and the Internet Computer."""

from __future__ import annotations

from decent_cloud.kernel.errors import Internal, Invalid, TryLater


class CertificateRefused(TryLater):
    """The Internet Computer's certificate does not verify."""

    code = "certificate_refused"


class NetworkSilent(TryLater):
    """The Internet Computer gives no certified answer right now."""

    code = "ic_silent"


class CallRejected(TryLater):
    """The canister rejected the call."""

    code = "ic_rejected"


class ReplyUnreadable(Internal):
    """A canister's answer does not have the shape its interface promises."""

    code = "ic_reply_unreadable"


class LogIncomplete(TryLater):
    """The ledger's log could not be read without a gap."""

    code = "ledger_log_incomplete"


class BadSigningKey(Invalid):
    """The wallet's signing key is missing, malformed or readable by others."""

    code = "bad_signing_key"
