"""First scripts and their sealed logs: two tables, frozen as they were."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TEXT = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}
_STATEMENTS = (
    """
CREATE TABLE first_scripts (
  "sha256" {text} NOT NULL,
  "text" {text} NOT NULL,
  CONSTRAINT pk_first_scripts PRIMARY KEY ("sha256")
)
""",
    """
CREATE TABLE script_logs (
  "contract" {text} NOT NULL,
  "n" BIGINT NOT NULL,
  "gen" BIGINT NOT NULL,
  "outer" {text} NOT NULL,
  "agent" {text} NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  CONSTRAINT pk_script_logs PRIMARY KEY ("contract", "n"),
  CONSTRAINT fk_script_logs_contract FOREIGN KEY("contract") REFERENCES contracts ("id")
    DEFERRABLE INITIALLY DEFERRED
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
