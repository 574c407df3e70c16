"""Every table as SQLAlchemy Core metadata: columns follow the records, CHECKs list the words of kernel/status.

What a database really has is made by the steps in `migrations/`; tests compare the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from decent_cloud.adapters.sql.errors import FLOOR
from decent_cloud.adapters.sql.records import Form, forms
from decent_cloud.app.ports.jobs import Job
from decent_cloud.app.ports.prices import Candle, PricePoint
from decent_cloud.app.ports.requests import StoredAnswer
from decent_cloud.domain.catalog.offerings import Offering
from decent_cloud.domain.catalog.plan_checks import PlanCheck
from decent_cloud.domain.contracts.assignment import Assignment
from decent_cloud.domain.contracts.contract import (
    Contract,
    HistoryRow,
    SealedCredential,
    SealedLog,
    Term,
)
from decent_cloud.domain.contracts.reset import Reset
from decent_cloud.domain.contracts.traffic import Traffic
from decent_cloud.domain.identity.accounts import Account, Device, Link, OldSeed, SeedBox
from decent_cloud.domain.identity.providers import (
    AgentHoldings,
    AgentPresence,
    AsideDecision,
    Delegation,
    Pairing,
    Pool,
    PoolLogEntry,
    Provider,
)
from decent_cloud.domain.keys.first_scripts import ScriptText
from decent_cloud.domain.ledger.transfers import Side
from decent_cloud.domain.payments.payment import Payment
from decent_cloud.domain.payments.refund import Refund
from decent_cloud.domain.pricing.breaker import Standing
from decent_cloud.domain.pricing.observation import Observation, SourceReport
from decent_cloud.domain.pricing.operator_price import OperatorPrice
from decent_cloud.domain.pricing.quotes import Quote
from decent_cloud.kernel.money import Asset

metadata = MetaData()

# Bytewise order on both engines, whatever a cluster's locale is: cursors compare ids as text.
TEXT: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
_TYPES: dict[Form, TypeEngine[Any]] = {
    Form.TEXT: TEXT,
    Form.NUMBER: BigInteger(),
    Form.FLAG: SmallInteger(),
    Form.WORD: TEXT,
    Form.JSON: TEXT,
}


def _words(table: str, column: str, words: list[str]) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f'"{column}" IN ({listed})', name=f"ck_{table}_{column}")


def _check(table: str, name: str, rule: str) -> CheckConstraint:
    return CheckConstraint(rule, name=f"ck_{table}_{name}")


def _column(name: str, type_: TypeEngine[Any] = TEXT) -> Column[Any]:
    return Column(name, type_, nullable=False, quote=True)


def _of_record(table: str, record: type[Any], key: str, *more: Any) -> Table:
    """Make the table of a record; each enum column gets a CHECK with its words, each flag one with 0 and 1."""
    parts: list[Any] = []
    for name, (form, plain) in forms(record).items():
        parts.append(_column(name, _TYPES[form]))
        if form is Form.WORD:
            parts.append(_words(table, name, [word.value for word in plain]))
        elif form is Form.FLAG:
            parts.append(_check(table, name, f'"{name}" IN (0, 1)'))
    parts.append(PrimaryKeyConstraint(*key.split(), name=f"pk_{table}"))
    return Table(table, metadata, *parts, *more)


def _child_of(table: str, column: str, parent: str, parent_key: str = "id") -> ForeignKeyConstraint:
    # Checked at commit, so that a use case may write in any order.
    return ForeignKeyConstraint(
        [column],
        [f"{parent}.{parent_key}"],
        name=f"fk_{table}_{column}",
        deferrable=True,
        initially="DEFERRED",
    )


def _unique(table: str, *columns: str) -> UniqueConstraint:
    return UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


# --- identity ---

accounts = _of_record("accounts", Account, "id")
devices = _of_record("devices", Device, "account kid", _child_of("devices", "account", "accounts"))
links = _of_record("links", Link, "account seq", _child_of("links", "account", "accounts"))
seed_boxes = _of_record(
    "seed_boxes", SeedBox, "account kid gen", _child_of("seed_boxes", "account", "accounts")
)
old_seeds = _of_record(
    "old_seeds", OldSeed, "account gen", _child_of("old_seeds", "account", "accounts")
)
personal = Table(
    "personal",
    metadata,
    _column("account"),
    Column("wrapped_key", LargeBinary(), nullable=False, quote=True),
    Column("sealed", LargeBinary(), nullable=False, quote=True),
    PrimaryKeyConstraint("account", name="pk_personal"),
)

# --- the provider side ---

providers = _of_record("providers", Provider, "id")
pools = _of_record("pools", Pool, "id", _unique("pools", "provider", "name"))
pool_log = _of_record("pool_log", PoolLogEntry, "pool seq", _child_of("pool_log", "pool", "pools"))
delegations = _of_record("delegations", Delegation, "provider agent")
agent_presences = _of_record("agent_presences", AgentPresence, "provider agent")
agent_holdings = _of_record("agent_holdings", AgentHoldings, "provider agent")
aside_decisions = _of_record("aside_decisions", AsideDecision, "provider agent instance")
pairings = _of_record("pairings", Pairing, "rid")
offerings = _of_record(
    "offerings",
    Offering,
    "id",
    _column("searched"),
    _check("offerings", "reserved_floor", "reserved >= 0"),
    Index("ix_offerings_provider", "provider", "id"),
    Index("ix_offerings_search", "state", "asset", "price_minor_per_hour", "id"),
)
plan_checks = _of_record("plan_checks", PlanCheck, "offering agent")

first_scripts = _of_record("first_scripts", ScriptText, "sha256")

# --- rentals ---

contracts = _of_record(
    "contracts",
    Contract,
    "id",
    _unique("contracts", "digest"),
    Index("ix_contracts_tenant", "tenant", "id"),
    Index("ix_contracts_provider", "provider", "id"),
    Index("ix_contracts_pool", "pool", "state", "id"),
    Index("ix_contracts_state", "state", "id"),
    Index(
        "ix_contracts_deadline",
        "deadline_ms",
        sqlite_where=text("deadline_ms > 0"),
        postgresql_where=text("deadline_ms > 0"),
    ),
)
contract_history = _of_record(
    "contract_history",
    HistoryRow,
    "contract version",
    _child_of("contract_history", "contract", "contracts"),
)
terms = _of_record(
    "terms",
    Term,
    "id",
    _unique("terms", "digest"),
    _unique("terms", "contract", "ordinal"),
    _child_of("terms", "contract", "contracts"),
)
credentials = _of_record(
    "credentials",
    SealedCredential,
    "contract n",
    _child_of("credentials", "contract", "contracts"),
)
traffic = _of_record("traffic", Traffic, "contract")
script_logs = _of_record(
    "script_logs",
    SealedLog,
    "contract n",
    _child_of("script_logs", "contract", "contracts"),
)
assignments = _of_record(
    "assignments",
    Assignment,
    "contract",
    _child_of("assignments", "contract", "contracts"),
    Index(
        "ix_assignments_live",
        "pool",
        "created_at_ms",
        sqlite_where=text("state <> 'ended'"),
        postgresql_where=text("state <> 'ended'"),
    ),
)

KEY_LIST = "subject = 'ssh_keys'"
OPEN_RESET = "state IN ('requested', 'claimed', 'applied')"
password_resets = _of_record(
    "password_resets",
    Reset,
    "id",
    _child_of("password_resets", "contract", "contracts"),
    Index("ix_password_resets_contract", "contract", "requested_at_ms"),
    Index(
        "ix_password_resets_deadline",
        "deadline_ms",
        sqlite_where=text("deadline_ms > 0"),
        postgresql_where=text("deadline_ms > 0"),
    ),
    Index(
        "ix_password_resets_pool",
        "pool",
        sqlite_where=text("deadline_ms > 0"),
        postgresql_where=text("deadline_ms > 0"),
    ),
    # At most one open reset per contract.
    Index(
        "uq_password_resets_open",
        "contract",
        unique=True,
        sqlite_where=text(OPEN_RESET),
        postgresql_where=text(OPEN_RESET),
    ),
    # Two lists of one number would leave open which of them counts.
    Index(
        "uq_password_resets_list",
        "contract",
        "n",
        unique=True,
        sqlite_where=text(KEY_LIST),
        postgresql_where=text(KEY_LIST),
    ),
)

# --- money ---

OPEN_PAYMENT = "purpose = 'term' AND state IN ('created', 'held_for_review')"
payments = _of_record(
    "payments",
    Payment,
    "id",
    Index("ix_payments_contract", "contract"),
    Index(
        "uq_payments_external",
        "processor",
        "external",
        unique=True,
        sqlite_where=text("external <> ''"),
        postgresql_where=text("external <> ''"),
    ),
    # At most one open payment per term.
    Index(
        "uq_payments_open",
        "term",
        unique=True,
        sqlite_where=text(OPEN_PAYMENT),
        postgresql_where=text(OPEN_PAYMENT),
    ),
    Index(
        "ix_payments_deadline",
        "deadline_ms",
        sqlite_where=text("deadline_ms > 0"),
        postgresql_where=text("deadline_ms > 0"),
    ),
)
refunds = _of_record("refunds", Refund, "id", Index("ix_refunds_contract", "contract"))
transfers = Table(
    "transfers",
    metadata,
    Column(
        "seq",
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
        quote=True,
    ),
    _column("id"),
    _column("debit"),
    _column("credit"),
    _column("asset"),
    _column("amount_minor", BigInteger()),
    _column("kind"),
    _column("reference"),
    _column("booked_at_ms", BigInteger()),
    _column("occurred_at_ms", BigInteger()),
    _unique("transfers", "id"),
    _words("transfers", "asset", [asset.value for asset in Asset]),
    _check("transfers", "amount", "amount_minor > 0"),
    _check("transfers", "two_accounts", "debit <> credit"),
    Index("ix_transfers_reference", "reference", "seq"),
)
balances = Table(
    "balances",
    metadata,
    _column("account"),
    _column("owner"),
    _column("asset"),
    _column("side"),
    _column("floored", SmallInteger()),
    _column("balance_minor", BigInteger()),
    PrimaryKeyConstraint("account", "asset", name="pk_balances"),
    _words("balances", "asset", [asset.value for asset in Asset]),
    _words("balances", "side", [side.value for side in Side]),
    _check("balances", "floored", "floored IN (0, 1)"),
    CheckConstraint("floored = 0 OR balance_minor >= 0", name=FLOOR),
    Index("ix_balances_owner", "owner"),
)

# --- work, events, requests ---

HELD_JOB = "state = 'ready' AND lease_until_ms > 0"
jobs = _of_record(
    "jobs",
    Job,
    "id",
    _unique("jobs", "key"),
    Index(
        "ix_jobs_ready",
        "run_at_ms",
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    Index(
        "ix_jobs_held",
        "lease_until_ms",
        sqlite_where=text(HELD_JOB),
        postgresql_where=text(HELD_JOB),
    ),
)
outbox = Table(
    "outbox",
    metadata,
    Column(
        "seq",
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=False,
        quote=True,
    ),
    _column("stream"),
    _column("kind"),
    _column("subject"),
    _column("data"),
    _column("at_ms", BigInteger()),
    Index("ix_outbox_stream", "stream", "seq"),
)
nonces = Table(
    "nonces",
    metadata,
    _column("keyid"),
    _column("nonce"),
    _column("expires_at_ms", BigInteger()),
    PrimaryKeyConstraint("keyid", "nonce", name="pk_nonces"),
    Index("ix_nonces_expiry", "expires_at_ms"),
    sqlite_with_rowid=False,
)
answers = _of_record(
    "answers", StoredAnswer, "caller key", Index("ix_answers_age", "created_at_ms")
)
# --- prices ---

price_observations = _of_record(
    "price_observations",
    Observation,
    "id",
    _check("price_observations", "positive", "price_e12 > 0"),
    Index("ix_price_observations_received", "received_at_ms"),
    Index("ix_price_observations_pair", "base", "quote", "observed_at_ms"),
)
price_sources = _of_record("price_sources", SourceReport, "source base quote")
price_standings = _of_record("price_standings", Standing, "asset")
price_points = _of_record(
    "price_points",
    PricePoint,
    "asset at_ms",
    _check("price_points", "positive", "price_e12 > 0"),
    Index("ix_price_points_age", "at_ms"),
)
price_candles = _of_record(
    "price_candles",
    Candle,
    "asset step_ms at_ms",
    _check("price_candles", "order", "low_e12 > 0 AND low_e12 <= high_e12"),
)
operator_prices = _of_record(
    "operator_prices",
    OperatorPrice,
    "asset number",
    _check("operator_prices", "positive", "price_e12 > 0"),
)
price_quotes = _of_record(
    "price_quotes",
    Quote,
    "id",
    _check("price_quotes", "positive", "price_e12 > 0 AND amount_minor > 0 AND dollars_minor > 0"),
    Index("ix_price_quotes_account", "account", "expires_at_ms"),
    Index("ix_price_quotes_used", "asset", "used_at_ms"),
)

# --- the platform itself ---

platform = Table(
    "platform",
    metadata,
    _column("name"),
    _column("value"),
    PrimaryKeyConstraint("name", name="pk_platform"),
)
