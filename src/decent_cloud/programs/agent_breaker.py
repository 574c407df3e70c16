"""`dc-agent release-breaker`: a person looks at what the circuit breaker holds up, and lets it go on."""

from __future__ import annotations

import click

from decent_cloud.agent.breaker import read_held, release
from decent_cloud.kernel.clock import SystemClock, rfc3339
from decent_cloud.kernel.errors import Invalid
from decent_cloud.programs.agent_context import Context, answered

_SHOWN = 20


@click.command("release-breaker")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@answered
def release_breaker(context: Context, yes: bool) -> None:
    """Let the removals go on that the circuit breaker holds up; it works while the agent runs.

    Only what is listed goes on: a later pass is counted anew.

    Example: dc-agent release-breaker
    """
    settings = context.settings()
    with context.journal(settings) as journal:
        held = read_held(journal)
        if held is None or held.released_ms:
            context.show({"released": []}, "the circuit breaker holds nothing up")
            return
        if not yes:
            if context.json:
                raise Invalid("say --yes: with --json nobody is asked", field="yes")
            click.echo(
                f"held up since {rfc3339(held.since_ms)}: {len(held.contracts)} of {held.live} machines"
            )
            for contract in held.contracts[:_SHOWN]:
                click.echo(f"  {contract}")
            click.confirm("Let the agent remove them?", abort=True)
        gone_on = release(journal, SystemClock().now_ms())
    contracts = gone_on.contracts if gone_on else ()
    context.show({"released": contracts}, f"{len(contracts)} removals go on")
