"""What can go wrong when someone pays."""

from __future__ import annotations

from decent_cloud.kernel.errors import Conflict, Invalid


class UnknownMethod(Invalid):
    """This platform takes no such way of paying."""

    code = "unknown_payment_method"


class PaymentOpen(Conflict):
    """This term is paid, or a payment for it is under way."""

    code = "payment_open"


class NotReviewable(Conflict):
    """This payment does not wait for a review."""

    code = "not_reviewable"
