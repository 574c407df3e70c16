"""Observations, prices, charts and quotes: seven tables with their indexes, frozen as they were."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TEXT = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}
_COINS = "'USD', 'XDR', 'ICP', 'BTC', 'USDC', 'USDT', 'ckBTC', 'ckUSDC', 'ckUSDT', 'DCT'"
_SOURCES = "'coinbase', 'kraken', 'binance', 'kucoin', 'okx', 'coingecko', 'icpswap', 'cmc'"
_ASSETS = "'USD', 'EUR', 'ICP', 'ckBTC', 'ckUSDC', 'ckUSDT', 'DCT'"
_STATES = "'ok', 'degraded', 'halted'"
_STATEMENTS = (
    """
CREATE TABLE price_observations (
  "id" {text} NOT NULL,
  "source" {text} NOT NULL,
  "base" {text} NOT NULL,
  "quote" {text} NOT NULL,
  "price_e12" BIGINT NOT NULL,
  "observed_at_ms" BIGINT NOT NULL,
  "received_at_ms" BIGINT NOT NULL,
  "spread_ppm" BIGINT NOT NULL,
  "depth_usd_minor" BIGINT NOT NULL,
  CONSTRAINT pk_price_observations PRIMARY KEY ("id"),
  CONSTRAINT ck_price_observations_source CHECK ("source" IN ({sources})),
  CONSTRAINT ck_price_observations_base CHECK ("base" IN ({coins})),
  CONSTRAINT ck_price_observations_quote CHECK ("quote" IN ({coins})),
  CONSTRAINT ck_price_observations_positive CHECK (price_e12 > 0)
)
""",
    'CREATE INDEX ix_price_observations_received ON price_observations ("received_at_ms")',
    """
CREATE INDEX ix_price_observations_pair ON price_observations ("base", "quote", "observed_at_ms")
""",
    """
CREATE TABLE price_sources (
  "source" {text} NOT NULL,
  "base" {text} NOT NULL,
  "quote" {text} NOT NULL,
  "at_ms" BIGINT NOT NULL,
  "reason" {text} NOT NULL,
  CONSTRAINT pk_price_sources PRIMARY KEY ("source", "base", "quote"),
  CONSTRAINT ck_price_sources_source CHECK ("source" IN ({sources})),
  CONSTRAINT ck_price_sources_base CHECK ("base" IN ({coins})),
  CONSTRAINT ck_price_sources_quote CHECK ("quote" IN ({coins}))
)
""",
    """
CREATE TABLE price_standings (
  "asset" {text} NOT NULL,
  "state" {text} NOT NULL,
  "accepted" {text} NOT NULL,
  "candidate" {text} NOT NULL,
  "good_rounds" BIGINT NOT NULL,
  "reason" {text} NOT NULL,
  "looked_at_ms" BIGINT NOT NULL,
  "state_since_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_price_standings PRIMARY KEY ("asset"),
  CONSTRAINT ck_price_standings_asset CHECK ("asset" IN ({assets})),
  CONSTRAINT ck_price_standings_state CHECK ("state" IN ({states}))
)
""",
    """
CREATE TABLE price_points (
  "asset" {text} NOT NULL,
  "at_ms" BIGINT NOT NULL,
  "price_e12" BIGINT NOT NULL,
  "spread_ppm" BIGINT NOT NULL,
  "state" {text} NOT NULL,
  CONSTRAINT pk_price_points PRIMARY KEY ("asset", "at_ms"),
  CONSTRAINT ck_price_points_asset CHECK ("asset" IN ({assets})),
  CONSTRAINT ck_price_points_state CHECK ("state" IN ({states})),
  CONSTRAINT ck_price_points_positive CHECK (price_e12 > 0)
)
""",
    'CREATE INDEX ix_price_points_age ON price_points ("at_ms")',
    """
CREATE TABLE price_candles (
  "asset" {text} NOT NULL,
  "step_ms" BIGINT NOT NULL,
  "at_ms" BIGINT NOT NULL,
  "open_e12" BIGINT NOT NULL,
  "high_e12" BIGINT NOT NULL,
  "low_e12" BIGINT NOT NULL,
  "close_e12" BIGINT NOT NULL,
  CONSTRAINT pk_price_candles PRIMARY KEY ("asset", "step_ms", "at_ms"),
  CONSTRAINT ck_price_candles_asset CHECK ("asset" IN ({assets})),
  CONSTRAINT ck_price_candles_order CHECK (low_e12 > 0 AND low_e12 <= high_e12)
)
""",
    """
CREATE TABLE operator_prices (
  "asset" {text} NOT NULL,
  "number" BIGINT NOT NULL,
  "price_e12" BIGINT NOT NULL,
  "until_ms" BIGINT NOT NULL,
  "set_at_ms" BIGINT NOT NULL,
  "account" {text} NOT NULL,
  "kid" {text} NOT NULL,
  "statement" {text} NOT NULL,
  "withdrawn_at_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_operator_prices PRIMARY KEY ("asset", "number"),
  CONSTRAINT ck_operator_prices_asset CHECK ("asset" IN ({assets})),
  CONSTRAINT ck_operator_prices_positive CHECK (price_e12 > 0)
)
""",
    """
CREATE TABLE price_quotes (
  "id" {text} NOT NULL,
  "account" {text} NOT NULL,
  "asset" {text} NOT NULL,
  "amount_minor" BIGINT NOT NULL,
  "dollars_minor" BIGINT NOT NULL,
  "price_e12" BIGINT NOT NULL,
  "origin" {text} NOT NULL,
  "observations" {text} NOT NULL,
  "made_at_ms" BIGINT NOT NULL,
  "expires_at_ms" BIGINT NOT NULL,
  "used_for" {text} NOT NULL,
  "used_at_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_price_quotes PRIMARY KEY ("id"),
  CONSTRAINT ck_price_quotes_asset CHECK ("asset" IN ({assets})),
  CONSTRAINT ck_price_quotes_origin CHECK ("origin" IN ('market', 'operator')),
  CONSTRAINT ck_price_quotes_positive CHECK
    (price_e12 > 0 AND amount_minor > 0 AND dollars_minor > 0)
)
""",
    'CREATE INDEX ix_price_quotes_account ON price_quotes ("account", "expires_at_ms")',
    'CREATE INDEX ix_price_quotes_used ON price_quotes ("asset", "used_at_ms")',
)


def upgrade() -> None:
    """Add what the running version ignores."""
    words = {"coins": _COINS, "sources": _SOURCES, "assets": _ASSETS, "states": _STATES}
    text = _TEXT[op.get_bind().dialect.name]
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement.strip().format(text=text, **words))


def downgrade() -> None:
    """There is no way back but a backup."""
    raise NotImplementedError
