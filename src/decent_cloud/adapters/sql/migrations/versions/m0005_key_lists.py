"""Resets may be of SSH keys: what each is of, and the list that the tenant signed."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TEXT = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}
# The defaults are for rows that are there, and for those that the running version still adds.
_STATEMENTS = (
    """
ALTER TABLE password_resets ADD COLUMN "subject" {text} NOT NULL DEFAULT 'password'
  CONSTRAINT ck_password_resets_subject CHECK ("subject" IN ('password', 'ssh_keys'))
""",
    """
ALTER TABLE password_resets ADD COLUMN "statement" {text} NOT NULL DEFAULT ''
""",
    # Two lists of one number would leave open which of them counts.
    """
CREATE UNIQUE INDEX uq_password_resets_list ON password_resets ("contract", "n")
  WHERE subject = 'ssh_keys'
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
