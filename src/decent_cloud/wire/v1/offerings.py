"""Offerings: what providers list and tenants search."""

from typing import Annotated

import msgspec

from decent_cloud.kernel.codec import Answer, Request
from decent_cloud.kernel.money import Asset
from decent_cloud.kernel.status import (
    AcceptMode,
    OfferingKind,
    OfferingState,
    OnScriptFailure,
    PlanState,
    Visibility,
)
from decent_cloud.wire.v1.first_scripts import FirstScriptView
from decent_cloud.wire.v1.money import Amount, Hex64, Name, Timestamp
from decent_cloud.wire.v1.plan_checks import PlanCheckView
from decent_cloud.wire.v1.statements import StatementWire

Hours = Annotated[int, msgspec.Meta(ge=1, le=87_600)]
AmountText = Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,15})$")]


class OfferingDraft(Request, frozen=True):
    """Everything a provider says about an offering. A price of 0 is refused; a pool is needed to
    publish.
    """

    title: Name
    kind: OfferingKind
    pool: str
    image: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    cpu_milli: Annotated[int, msgspec.Meta(ge=50, le=1_024_000)]
    memory_mib: Annotated[int, msgspec.Meta(ge=16, le=16_777_216)]
    disk_gib: Annotated[int, msgspec.Meta(ge=0, le=1_048_576)]
    country: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")]
    asset: Asset
    price_minor_per_hour: AmountText
    stock: Annotated[int, msgspec.Meta(ge=0, le=100_000)]
    description: Annotated[str, msgspec.Meta(max_length=4_000)] = ""
    region: Annotated[str, msgspec.Meta(max_length=80)] = ""
    min_hours: Hours = 1
    max_hours: Hours = 720
    accept_mode: AcceptMode = AcceptMode.AUTO
    visibility: Visibility = Visibility.PUBLIC
    allowed_accounts: Annotated[tuple[Hex64, ...], msgspec.Meta(max_length=1_000)] = ()
    provision_timeout_s: Annotated[int, msgspec.Meta(ge=30, le=86_400)] = 1_800
    penalty_ppm: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    settings: Annotated[dict[str, str], msgspec.Meta(max_length=50)] = msgspec.field(
        default_factory=dict
    )
    reset: bool = True  # a new password on request, made by the agent
    management_key: bool = False  # the agent keeps an SSH key of its own in the machine
    # Run once in each new machine, before its tenant gets it: `#!...`, or `#cloud-config`.
    first_script: Annotated[str, msgspec.Meta(max_length=16_384)] = ""
    first_script_timeout_s: Annotated[int, msgspec.Meta(ge=10, le=3_600)] = 600
    first_script_on_failure: OnScriptFailure = OnScriptFailure.HAND_OVER


class PublishOffering(Request, frozen=True):
    """A `dcx/offer/v1` statement over the hash of the draft's `terms`."""

    statement: StatementWire


class OfferingView(Answer, frozen=True):
    """An offering. `terms` is canonical JSON; `offer` signs its hash; `rentable` says if an order
    would pass now; `caution` is what to know first of how well its machines are kept apart.
    """

    id: str
    provider: Hex64
    provider_name: str
    pool: str
    state: OfferingState
    visibility: Visibility
    title: str
    description: str
    kind: OfferingKind
    image: str
    cpu_milli: int
    memory_mib: int
    disk_gib: int
    country: str
    region: str
    price_per_hour: Amount
    stock: int
    available: int
    min_hours: int
    max_hours: int
    accept_mode: AcceptMode
    provision_timeout_s: int
    penalty_ppm: int
    n: int  # version of the last publish, 0 = never
    terms: str
    offer: StatementWire | None
    offer_hash: str
    rentable: bool
    not_rentable_because: str
    updated_at: Timestamp
    settings: dict[str, str] | None = None  # only to the provider
    allowed_accounts: tuple[str, ...] | None = None  # only to the provider
    reset: bool = False  # a new password on request
    management_key: bool = False  # the agent keeps an SSH key of its own in the machine
    driver: str = ""  # what the pool's machines are made with
    caution: str = ""
    plan: PlanState = PlanState.UNKNOWN  # only to the provider
    plan_checks: tuple[PlanCheckView, ...] | None = None  # only to the provider
    first_script: FirstScriptView | None = None  # runs once before the tenant gets the machine
    first_script_text: str | None = None  # only to the provider, for one offering


class OfferingsPage(Answer, frozen=True):
    """Some offerings, and the cursor of the next page."""

    items: tuple[OfferingView, ...]
    next: str
