"""Every status word that crosses a wire, a table or a page, in one place (invariant 7)."""

from __future__ import annotations

from enum import StrEnum


class ContractState(StrEnum):
    """Where a rental stands, from payment to end."""

    REQUESTED = "requested"
    PENDING = "pending"
    ACCEPTED = "accepted"
    PROVISIONING = "provisioning"
    PROVISIONED = "provisioned"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    LAPSED = "lapsed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"


class AssignmentState(StrEnum):
    """Where one contract's work for an agent stands."""

    OPEN = "open"
    LEASED = "leased"
    CREATE_STARTED = "create_started"
    BOUND = "bound"
    ENDED = "ended"


class Desired(StrEnum):
    """What the platform wants of an instance."""

    RUNNING = "running"
    STOPPED = "stopped"
    ABSENT = "absent"


class PlanState(StrEnum):
    """Whether a pool's agents can make what is offered, as they say; nothing is known of drafts."""

    UNKNOWN = "unknown"
    AWAITED = "awaited"  # an agent is about to compare it with its backend
    FITS = "fits"
    FAILS = "fails"


class Observed(StrEnum):
    """What a read of the backend said about an instance; set only by a report."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    CREATING = "creating"
    RUNNING = "running"
    STOPPED = "stopped"
    DELETING = "deleting"
    QUARANTINED = "quarantined"


class PaymentState(StrEnum):
    """Where money coming in through a processor stands."""

    CREATED = "created"
    SETTLED = "settled"
    HELD_FOR_REVIEW = "held_for_review"
    EXPIRED = "expired"
    FAILED = "failed"
    SETTLED_LATE = "settled_late"
    RETURNED = "returned"
    DISPUTED = "disputed"
    WON = "won"
    LOST = "lost"


class RefundState(StrEnum):
    """Where money going back to a tenant stands."""

    PLANNED = "planned"
    SENT = "sent"
    AWAITING_CHOICE = "awaiting_choice"
    CREDITED = "credited"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class ResetSubject(StrEnum):
    """What of the ways into a machine is made new."""

    PASSWORD = "password"  # noqa: S105 - a word, no secret
    SSH_KEYS = "ssh_keys"


class ResetState(StrEnum):
    """Where the making of a new way into a machine stands."""

    REQUESTED = "requested"
    CLAIMED = "claimed"
    APPLIED = "applied"
    VERIFIED = "verified"
    FAILED = "failed"
    EXPIRED = "expired"


class ResetOrigin(StrEnum):
    """Who asked for a new way into a machine."""

    TENANT = "tenant"
    PROVIDER = "provider"


class ResetFailure(StrEnum):
    """Why a machine's password or SSH keys could not be made new."""

    NO_ABILITY = "no_ability"
    REJECTED = "rejected"
    AUTH_FAILED = "auth_failed"
    LOGIN_REFUSED = "login_refused"
    LIST_REFUSED = "list_refused"
    KEYS_DIFFER = "keys_differ"
    TIMED_OUT = "timed_out"
    CONTRACT_ENDED = "contract_ended"


class PriceState(StrEnum):
    """Whether an asset's price can be used."""

    OK = "ok"
    DEGRADED = "degraded"  # the last good one may be shown, nothing new is quoted
    HALTED = "halted"  # there is none


class JobState(StrEnum):
    """Where a background job stands."""

    READY = "ready"
    DONE = "done"
    DEAD = "dead"


class OfferingState(StrEnum):
    """Whether an offering can be found and ordered."""

    DRAFT = "draft"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class OfferingKind(StrEnum):
    """What kind of machine is rented."""

    VM = "vm"
    CONTAINER = "container"
    GPU = "gpu"
    DEDICATED = "dedicated"


class Visibility(StrEnum):
    """Who may see and order an offering."""

    PUBLIC = "public"
    SHARED = "shared"
    PRIVATE = "private"


class AcceptMode(StrEnum):
    """Whether the provider must say yes to each order."""

    AUTO = "auto"
    MANUAL = "manual"


class Permission(StrEnum):
    """What a delegation lets an agent do."""

    FETCH_CONTRACTS = "fetch_contracts"
    PROVISION = "provision"
    HEALTH_CHECK = "health_check"
    HEARTBEAT = "heartbeat"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a permission


class AgentStatus(StrEnum):
    """Whether an agent was heard lately."""

    ONLINE = "online"
    OFFLINE = "offline"
    REVOKED = "revoked"


class AsideWord(StrEnum):
    """What the platform says of a machine that an agent keeps aside."""

    NONE = "none"  # its contract may live: the agent's own rules hold
    STOP = "stop"  # no contract that lives is behind it
    DELETE = "delete"  # its provider says so
    LEAVE = "leave"  # its provider knows it and wants it as it is


class ProvisionFailure(StrEnum):
    """Why an agent could not deliver an instance."""

    REJECTED = "rejected"
    NO_CAPACITY = "no_capacity"
    AUTH_FAILED = "auth_failed"
    BROKEN = "broken"
    TIMED_OUT = "timed_out"
    ORDER_REFUSED = "order_refused"
    UNKNOWN_RESOURCE = "unknown_resource"
    SCRIPT_FAILED = "script_failed"  # the offering's first script, and its terms say so


class ScriptKind(StrEnum):
    """What an offering has done in a new machine before the tenant gets it."""

    SCRIPT = "script"
    CLOUD_CONFIG = "cloud_config"


class OnScriptFailure(StrEnum):
    """What becomes of a machine whose first script failed, as the offering's terms say."""

    HAND_OVER = "hand_over"
    FAIL = "fail"


class ScriptOutcome(StrEnum):
    """How a machine's first script ended; said only inside its sealed log."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"  # begun and never ended: the machine went down meanwhile
    NOT_RUN = "not_run"


class ServerMode(StrEnum):
    """What a platform's database was made for; written into it at creation."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"
