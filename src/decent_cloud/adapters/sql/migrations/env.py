"""How Alembic runs the steps: on the connection it is given, or on the one that its configuration names."""

from __future__ import annotations

from alembic import context

from decent_cloud.adapters.sql.schema import opened
from decent_cloud.adapters.sql.tables import metadata


def run() -> None:
    """Run what was asked for in the caller's transaction."""
    given = context.config.attributes.get("connection")
    if given is not None:
        context.configure(connection=given, target_metadata=metadata)
        context.run_migrations()
        return
    with opened(context.config.get_main_option("sqlalchemy.url") or "") as connection:
        context.configure(connection=connection, target_metadata=metadata)
        context.run_migrations()


run()
