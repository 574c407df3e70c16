"""`decent provider` and `decent pool`: what a provider is and where its agents run."""

from __future__ import annotations

import click

from decent_cloud.cli import words
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.wire.v1.providers import CreatePool, CreateProvider, PoolView


@click.group("provider")
def provider() -> None:
    """Become a provider."""


@provider.command("create", cls=Leaf, example="decent provider create 'Basement Computing'")
@click.argument("name")
@click.option("--website", default="", help="Public.")
@pass_session
def create_provider(session: Session, name: str, website: str) -> None:
    """Make your account a provider called NAME; the name is public."""
    found = session.client.providers.create(CreateProvider(name=name, website=website))
    if session.out.json:
        session.out.data(found)
        return
    session.out.fields(
        [("provider", found.id), ("name", found.name), ("website", found.website or "-")]
    )
    session.out.say("next: decent pool create NAME --driver docker")


@click.group("pool")
def pool() -> None:
    """Places where your agents run machines."""


@pool.command("create", cls=Leaf, example="decent pool create basement --driver docker")
@click.argument("name")
@click.option("--driver", required=True, help="What makes the machines there, such as docker.")
@pass_session
def create_pool(session: Session, name: str, driver: str) -> None:
    """Make a pool called NAME, where agents of one driver run."""
    found = session.client.providers.create_pool(CreatePool(name=name, driver=driver))
    if session.out.json:
        session.out.data(found)
        return
    session.out.fields([("pool", found.id), ("name", found.name), ("driver", found.driver)])
    session.out.say(f"next: decent setup-token create --pool {found.name} --wait")


@pool.command("list", cls=Leaf, example="decent pool list")
@pass_session
def list_pools(session: Session) -> None:
    """List your pools."""
    found = session.client.providers.pools()
    if session.out.json:
        session.out.data(found)
        return
    session.out.table(
        ("POOL", "NAME", "DRIVER", "CREATED"),
        (_row(one, session.now_ms()) for one in found.items),
        empty="no pools yet: decent pool create NAME --driver docker",
    )


def _row(found: PoolView, now_ms: int) -> tuple[str, ...]:
    return (found.id, found.name, found.driver, words.when(found.created_at, now_ms))
