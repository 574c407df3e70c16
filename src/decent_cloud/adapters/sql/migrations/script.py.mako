"""${message}."""

from __future__ import annotations

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand. Name every CHECK; on SQLite write tables with CHECKs or triggers anew by hand, then assert_schema."""
    op.execute("SELECT 1")


def downgrade() -> None:
    """There is no way back but a backup."""
    raise NotImplementedError
