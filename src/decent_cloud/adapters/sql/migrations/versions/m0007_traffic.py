"""What machines received and sent: one table, frozen as it was."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TEXT = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}
_STATEMENT = """
CREATE TABLE traffic (
  "contract" {text} NOT NULL,
  "first_ms" BIGINT NOT NULL,
  "before_received_bytes" BIGINT NOT NULL,
  "before_sent_bytes" BIGINT NOT NULL,
  "run_ms" BIGINT NOT NULL,
  "run_received_bytes" BIGINT NOT NULL,
  "run_sent_bytes" BIGINT NOT NULL,
  "at_ms" BIGINT NOT NULL,
  CONSTRAINT pk_traffic PRIMARY KEY ("contract")
)
"""


def upgrade() -> None:
    """Add what the running version ignores."""
    text = _TEXT[op.get_bind().dialect.name]
    op.get_bind().exec_driver_sql(_STATEMENT.strip().format(text=text))


def downgrade() -> None:
    """There is no way back but a backup."""
    raise NotImplementedError
