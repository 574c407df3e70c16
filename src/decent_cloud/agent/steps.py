"""The names of the points between which the agent can die: before and after every outside effect.

The loop calls its `on_step` hook with one of these at each of them; kill tests die there.
"""

from __future__ import annotations

from collections.abc import Callable

DESIRED_ASKED = "desired.asked"
DESIRED_ANSWERED = "desired.answered"
DESIRED_JOURNALLED = "desired.journalled"
LEASE_ASKED = "lease.asked"
LEASE_ANSWERED = "lease.answered"
LEASE_JOURNALLED = "lease.journalled"
LOOKUP_ASKED = "lookup.asked"
LOOKUP_ANSWERED = "lookup.answered"
ATTEMPT_JOURNALLED = "attempt.journalled"
START_ASKED = "start.asked"
START_ANSWERED = "start.answered"
START_JOURNALLED = "start.journalled"
CREATE_JOURNALLED = "create.journalled"  # that the call is about to be made
CREATE_CALLED = "create.called"
CREATE_ANSWERED = "create.answered"
HANDLE_JOURNALLED = "handle.journalled"
INSPECT_CALLED = "inspect.called"
INSPECT_ANSWERED = "inspect.answered"
REPORT_JOURNALLED = "report.journalled"
REPORT_SENT = "report.sent"  # about to be
REPORT_ANSWERED = "report.answered"
REPORT_ACKNOWLEDGED = "report.acknowledged"
DESTROY_JOURNALLED = "destroy.journalled"
DESTROY_CALLED = "destroy.called"
DESTROY_ANSWERED = "destroy.answered"
GONE_JOURNALLED = "gone.journalled"
STOP_CALLED = "stop.called"
STOP_ANSWERED = "stop.answered"
START_CALLED = "start_machine.called"
START_MACHINE_ANSWERED = "start_machine.answered"
QUARANTINE_JOURNALLED = "quarantine.journalled"

RESET_CLAIM_ASKED = "reset_claim.asked"
RESET_CLAIM_ANSWERED = "reset_claim.answered"
RESET_CLAIM_JOURNALLED = "reset_claim.journalled"
RESET_SEALED_JOURNALLED = "reset_sealed.journalled"
RESET_CALL_JOURNALLED = "reset_call.journalled"  # that the call is about to be made
RESET_CALLED = "reset.called"
RESET_ANSWERED = "reset.answered"
RESET_APPLIED_JOURNALLED = "reset_applied.journalled"
RESET_APPLIED_SENT = "reset_applied.sent"
RESET_APPLIED_ANSWERED = "reset_applied.answered"
RESET_APPLIED_ACKNOWLEDGED = "reset_applied.acknowledged"
LOGIN_CALLED = "login.called"
LOGIN_ANSWERED = "login.answered"
LOGIN_JOURNALLED = "login.journalled"
RESET_END_SENT = "reset_end.sent"  # that it is verified, or failed
RESET_END_ANSWERED = "reset_end.answered"
RESET_END_ACKNOWLEDGED = "reset_end.acknowledged"

FIRST_TEXT_ASKED = "first_text.asked"
FIRST_TEXT_ANSWERED = "first_text.answered"
FIRST_JOURNALLED = "first.journalled"  # that it is about to be begun
FIRST_CALLED = "first.called"
FIRST_ANSWERED = "first.answered"
FIRST_LOG_JOURNALLED = "first_log.journalled"

OnStep = Callable[[str], None]

# A contract's life from order to end passes these in this order (waiting and retries aside).
CREATE_PATH = (
    DESIRED_ASKED,
    DESIRED_ANSWERED,
    DESIRED_JOURNALLED,
    LEASE_ASKED,
    LEASE_ANSWERED,
    LEASE_JOURNALLED,
    LOOKUP_ASKED,
    LOOKUP_ANSWERED,
    ATTEMPT_JOURNALLED,
    START_ASKED,
    START_ANSWERED,
    START_JOURNALLED,
    CREATE_JOURNALLED,
    CREATE_CALLED,
    CREATE_ANSWERED,
    HANDLE_JOURNALLED,
    INSPECT_CALLED,
    INSPECT_ANSWERED,
    REPORT_JOURNALLED,
    REPORT_SENT,
    REPORT_ANSWERED,
    REPORT_ACKNOWLEDGED,
)
DESTROY_PATH = (
    DESTROY_JOURNALLED,
    DESTROY_CALLED,
    DESTROY_ANSWERED,
    GONE_JOURNALLED,
    REPORT_SENT,
    REPORT_ANSWERED,
    REPORT_ACKNOWLEDGED,
)
RESET_PATH = (
    RESET_CLAIM_ASKED,
    RESET_CLAIM_ANSWERED,
    RESET_CLAIM_JOURNALLED,
    RESET_SEALED_JOURNALLED,
    RESET_CALL_JOURNALLED,
    RESET_CALLED,
    RESET_ANSWERED,
    RESET_APPLIED_JOURNALLED,
    RESET_APPLIED_SENT,
    RESET_APPLIED_ANSWERED,
    RESET_APPLIED_ACKNOWLEDGED,
    LOGIN_CALLED,
    LOGIN_ANSWERED,
    LOGIN_JOURNALLED,
    RESET_END_SENT,
    RESET_END_ANSWERED,
    RESET_END_ACKNOWLEDGED,
)
# What an offering's first script adds to the way to a machine, where there is one.
FIRST_PATH = (
    FIRST_TEXT_ASKED,
    FIRST_TEXT_ANSWERED,
    FIRST_JOURNALLED,
    FIRST_CALLED,
    FIRST_ANSWERED,
    FIRST_LOG_JOURNALLED,
)
STEPS = (
    *CREATE_PATH,
    *DESTROY_PATH[:4],
    *RESET_PATH,
    STOP_CALLED,
    STOP_ANSWERED,
    START_CALLED,
    START_MACHINE_ANSWERED,
    QUARANTINE_JOURNALLED,
)


def no_hook(step: str) -> None:
    """Do nothing at a step."""
