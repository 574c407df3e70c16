"""What agents have and keep aside, and what their providers say of it: two tables, frozen as they were."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TEXT = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}
_STATEMENTS = (
    """
CREATE TABLE agent_holdings (
  "provider" {text} NOT NULL,
  "agent" {text} NOT NULL,
  "at_ms" BIGINT NOT NULL,
  "running" BIGINT NOT NULL,
  "free" BIGINT NOT NULL,
  "driver_version" {text} NOT NULL,
  "host" {text} NOT NULL,
  "asides" {text} NOT NULL,
  CONSTRAINT pk_agent_holdings PRIMARY KEY ("provider", "agent")
)
""",
    """
CREATE TABLE aside_decisions (
  "provider" {text} NOT NULL,
  "agent" {text} NOT NULL,
  "instance" {text} NOT NULL,
  "word" {text} NOT NULL,
  "by" {text} NOT NULL,
  "at_ms" BIGINT NOT NULL,
  CONSTRAINT pk_aside_decisions PRIMARY KEY ("provider", "agent", "instance"),
  CONSTRAINT ck_aside_decisions_word CHECK ("word" IN ('none', 'stop', 'delete', 'leave'))
)
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
