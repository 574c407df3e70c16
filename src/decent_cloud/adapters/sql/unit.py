"""One store per noun over one session: what a use case sees of the database."""

from __future__ import annotations

from decent_cloud.adapters.sql.accounts import SqlAccounts
from decent_cloud.adapters.sql.assignments import SqlAssignments
from decent_cloud.adapters.sql.contracts import SqlContracts
from decent_cloud.adapters.sql.first_scripts import SqlFirstScripts
from decent_cloud.adapters.sql.jobs import SqlJobs
from decent_cloud.adapters.sql.ledger import SqlLedger
from decent_cloud.adapters.sql.offerings import SqlOfferings
from decent_cloud.adapters.sql.outbox import SqlOutbox
from decent_cloud.adapters.sql.payments import SqlPayments
from decent_cloud.adapters.sql.personal import SqlPersonal
from decent_cloud.adapters.sql.platform import SqlPlatform
from decent_cloud.adapters.sql.prices import SqlPrices
from decent_cloud.adapters.sql.providers import SqlProviders
from decent_cloud.adapters.sql.requests import SqlRequests
from decent_cloud.adapters.sql.resets import SqlResets
from decent_cloud.adapters.sql.session import Session
from decent_cloud.app.ports.accounts import Accounts
from decent_cloud.app.ports.assignments import Assignments
from decent_cloud.app.ports.contracts import Contracts
from decent_cloud.app.ports.first_scripts import FirstScripts
from decent_cloud.app.ports.jobs import Jobs
from decent_cloud.app.ports.ledger import Ledger
from decent_cloud.app.ports.offerings import Offerings
from decent_cloud.app.ports.outbox import Outbox
from decent_cloud.app.ports.payments import Payments
from decent_cloud.app.ports.personal import Personal
from decent_cloud.app.ports.platform import PlatformStore
from decent_cloud.app.ports.prices import Prices
from decent_cloud.app.ports.providers import Providers
from decent_cloud.app.ports.requests import Requests
from decent_cloud.app.ports.resets import Resets


class SqlUnit:
    """Keeps the port `UnitOfWork`; the stores hold nothing, so one unit serves its connection for ever."""

    def __init__(self, session: Session, master_key: bytes) -> None:
        self.session = session
        self.accounts: Accounts = SqlAccounts(session)
        self.personal: Personal = SqlPersonal(session, master_key)
        self.providers: Providers = SqlProviders(session)
        self.offerings: Offerings = SqlOfferings(session)
        self.first_scripts: FirstScripts = SqlFirstScripts(session)
        self.contracts: Contracts = SqlContracts(session)
        self.assignments: Assignments = SqlAssignments(session)
        self.resets: Resets = SqlResets(session)
        self.payments: Payments = SqlPayments(session)
        self.ledger: Ledger = SqlLedger(session)
        self.prices: Prices = SqlPrices(session)
        self.jobs: Jobs = SqlJobs(session)
        self.outbox: Outbox = SqlOutbox(session)
        self.requests: Requests = SqlRequests(session)
        self.platform: PlatformStore = SqlPlatform(session)
