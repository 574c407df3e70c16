"""Password resets: one table with its indexes, frozen as it was."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXT = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}
_STATEMENTS = (
    """
CREATE TABLE password_resets (
  "id" {text} NOT NULL,
  "contract" {text} NOT NULL,
  "provider" {text} NOT NULL,
  "pool" {text} NOT NULL,
  "origin" {text} NOT NULL,
  "state" {text} NOT NULL,
  "requested_at_ms" BIGINT NOT NULL,
  "state_since_ms" BIGINT NOT NULL,
  "deadline_ms" BIGINT NOT NULL,
  "asked_by" {text} NOT NULL,
  "agent" {text} NOT NULL,
  "n" BIGINT NOT NULL,
  "failure" {text} NOT NULL,
  "detail" {text} NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_password_resets PRIMARY KEY ("id"),
  CONSTRAINT fk_password_resets_contract FOREIGN KEY("contract") REFERENCES contracts ("id")
    DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT ck_password_resets_origin CHECK ("origin" IN ('tenant', 'provider')),
  CONSTRAINT ck_password_resets_state CHECK ("state" IN
    ('requested', 'claimed', 'applied', 'verified', 'failed', 'expired'))
)
""",
    'CREATE INDEX ix_password_resets_contract ON password_resets ("contract", "requested_at_ms")',
    'CREATE INDEX ix_password_resets_deadline ON password_resets ("deadline_ms") WHERE deadline_ms > 0',
    'CREATE INDEX ix_password_resets_pool ON password_resets ("pool") WHERE deadline_ms > 0',
    """
CREATE UNIQUE INDEX uq_password_resets_open ON password_resets ("contract")
  WHERE state IN ('requested', 'claimed', 'applied')
""",
)


def upgrade() -> None:
    """Add what the running version ignores."""
    text = _TEXT[op.get_bind().dialect.name]
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement.strip().format(text=text))


def downgrade() -> None:
    """There is no way back but a backup."""
    raise NotImplementedError
