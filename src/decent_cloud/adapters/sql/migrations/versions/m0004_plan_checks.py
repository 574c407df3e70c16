"""What agents said of offerings that they compared with their backends: one table, frozen as it was."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TEXT = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}
_STATEMENT = """
CREATE TABLE plan_checks (
  "offering" {text} NOT NULL,
  "agent" {text} NOT NULL,
  "revision" BIGINT NOT NULL,
  "at_ms" BIGINT NOT NULL,
  "problems" {text} NOT NULL,
  CONSTRAINT pk_plan_checks PRIMARY KEY ("offering", "agent")
)
"""


def upgrade() -> None:
    """Add what the running version ignores."""
    text = _TEXT[op.get_bind().dialect.name]
    op.get_bind().exec_driver_sql(_STATEMENT.strip().format(text=text))


def downgrade() -> None:
    """There is no way back but a backup."""
    raise NotImplementedError
