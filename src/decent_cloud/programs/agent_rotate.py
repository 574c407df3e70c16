"""`dc-agent rotate-key`: a new key for this agent; what it remembers and its machines stay."""

from __future__ import annotations

import click

from decent_cloud.agent.daemon import lock_data_dir
from decent_cloud.agent.keys import rotate_keys
from decent_cloud.agent.records import MAKING
from decent_cloud.kernel.errors import Conflict
from decent_cloud.programs.agent_context import Context, answered


class WorkUnderWay(Conflict):
    """Machines are being made under the old key's leases; rotate the key when they are up."""

    code = "work_under_way"


@click.command("rotate-key")
@answered
def rotate_key(context: Context) -> None:
    """Make a new key in place of this agent's own; the agent must not run.

    Then it joins again as a new device, with the provider's word, and the old key is revoked. The
    journal stays: machines go on, and until the new key is taken in nothing of them is touched.

    Example: dc-agent rotate-key
    """
    settings = context.settings()
    lock_data_dir(settings.lock_file)
    with context.journal(settings) as journal:
        making = [each.contract for each in journal.instances() if each.stage in MAKING]
    if making:
        raise WorkUnderWay(f"{len(making)} machines are being made (first: {making[0]})")
    old, new = rotate_keys(settings.key_file)
    text = (
        f"agent {old.kid} is now agent {new.kid}; the old key is kept as {settings.key_file}.{old.kid}\n"
        "at the provider: decent setup-token create --pool POOL --wait\n"
        "here: dc-agent register CODE, then dc-agent run\n"
        f"at the provider, once it runs: decent agents revoke {old.kid}"
    )
    context.show({"old": old.kid, "agent": new.kid}, text)
