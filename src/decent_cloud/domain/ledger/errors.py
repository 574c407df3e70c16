"""What can go wrong when money is booked."""

from __future__ import annotations

from decent_cloud.kernel.errors import Exhausted, Internal


class Overdrawn(Exhausted):
    """There is not enough money on an account for this."""

    code = "overdrawn"


class IllegalPosting(Internal):
    """The program tried a booking that no flow knows."""

    code = "illegal_posting"
