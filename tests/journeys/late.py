"""What an agent that lost its work knows and says: its journal, and a report under the lease it once had."""

from __future__ import annotations

from contextlib import closing

from decent_cloud.agent.keys import load_keys
from decent_cloud.agent.records import Stage
from decent_cloud.client.agents import AgentApi
from decent_cloud.client.signing import DeviceAuth
from decent_cloud.client.transport import Transport
from decent_cloud.kernel import codec
from decent_cloud.kernel.ids import ContractId
from decent_cloud.wire.v1.assignments import CredentialWire, ProvisionedReport
from devtools.market import Market
from devtools.processes import AgentProgram


def stage_of(market: Market, agent: AgentProgram, contract: str) -> Stage | None:
    """Return how far an agent's journal says that its work on a contract is."""
    with closing(market.journal(agent)) as journal:
        found = journal.instance(ContractId(contract))
        return found.stage if found else None


def report_late(market: Market, agent: AgentProgram, contract: str) -> None:
    """Tell the platform what the agent made, under the lease that it once had."""
    with closing(market.journal(agent)) as journal:
        mine = journal.instance(ContractId(contract))
        assert mine is not None
        secrets = journal.attempt(mine.attempt)
        assert secrets is not None
    body = ProvisionedReport(
        fence=mine.fence,
        scope=mine.scope,
        host=agent.settings.public_host,
        port=secrets.port,
        host_keys=(secrets.host_key,),
        credential=codec.from_json(secrets.candidate, CredentialWire),
    )
    auth = DeviceAuth(market.provider.id, load_keys(agent.settings.key_file), market.clock)
    with Transport(market.url, auth) as transport:
        AgentApi(transport).report(ContractId(contract), body)
