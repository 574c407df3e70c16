"""The first tables, with their guards: plain statements for each engine, frozen as they were."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the engine's statements; a blank line stands between two."""
    dialect = op.get_bind().dialect.name
    statements = Path(__file__).with_name(f"m0001_first.{dialect}.sql").read_text(encoding="utf-8")
    for statement in statements.strip().split("\n\n"):
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))


def downgrade() -> None:
    """There is no way back but a backup."""
    raise NotImplementedError
