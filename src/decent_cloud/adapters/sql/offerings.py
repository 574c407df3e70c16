"""Offerings in SQL: stock taken atomically, search as one query."""

from __future__ import annotations

from collections.abc import Sequence

from decent_cloud.adapters.sql.records import Rows
from decent_cloud.adapters.sql.session import Session, among
from decent_cloud.domain.catalog.offerings import Offering, OfferingFilter
from decent_cloud.domain.catalog.plan_checks import PlanCheck
from decent_cloud.kernel.ids import AccountId, OfferingId, PoolId
from decent_cloud.kernel.paging import Page, PageRequest


def _searched(offering: Offering) -> str:
    return f"{offering.title}\n{offering.description}\n{offering.image}".casefold()


_OFFERINGS = Rows(Offering, "offerings", ("id",), extra={"searched": _searched}, kept=("reserved",))
_CHECKS = Rows(PlanCheck, "plan_checks", ("offering", "agent"))

_EQUAL = ("kind", "country", "asset", "provider")
_BOUNDS = {
    "max_price_minor_per_hour": "price_minor_per_hour <= :max_price_minor_per_hour",
    "min_memory_mib": "memory_mib >= :min_memory_mib",
    "min_cpu_milli": "cpu_milli >= :min_cpu_milli",
}


class SqlOfferings:
    """Keeps the port `Offerings`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, offering: OfferingId) -> Offering | None:
        return _OFFERINGS.get(self._session, id=offering)

    def add(self, offering: Offering) -> None:
        _OFFERINGS.add(self._session, offering)

    def save(self, offering: Offering) -> None:
        _OFFERINGS.save(self._session, offering)

    def reserve(self, offering: OfferingId) -> bool:
        sql = (
            "UPDATE offerings SET reserved = reserved + 1 WHERE id = :id AND stock - reserved >= 1"
        )
        return self._session.run(sql, {"id": offering}) == 1

    def unreserve(self, offering: OfferingId) -> None:
        sql = "UPDATE offerings SET reserved = reserved - 1 WHERE id = :id AND reserved >= 1"
        self._session.run(sql, {"id": offering})

    def of_provider(self, provider: AccountId, page: PageRequest) -> Page[Offering]:
        return _OFFERINGS.newest(self._session, "provider = :p", {"p": provider}, page)

    def search(
        self, asked: OfferingFilter, viewer: AccountId | None, page: PageRequest
    ) -> Page[Offering]:
        conditions, params = self._conditions(asked)
        conditions += ["state = 'published'", _VISIBLE]
        params |= {"viewer": viewer or "", "listed": f'%"{viewer or "-"}"%'}
        if page.cursor:
            conditions.append(
                "(asset, price_minor_per_hour, id) >"
                " (SELECT asset, price_minor_per_hour, id FROM offerings WHERE id = :cursor)"
            )
            params["cursor"] = page.cursor
        tail = f"WHERE {' AND '.join(conditions)} ORDER BY asset, price_minor_per_hour, id"
        return _OFFERINGS.page(self._session, tail, params, page.limit)

    def published_in(self, pool: PoolId, page: PageRequest) -> Page[Offering]:
        where = "pool = :pool AND state = 'published'"
        return _OFFERINGS.newest(self._session, where, {"pool": pool}, page)

    def plan_checks(self, offerings: Sequence[OfferingId]) -> tuple[PlanCheck, ...]:
        if not offerings:
            return ()
        listed, params = among("offering", offerings)
        return _CHECKS.all(self._session, f"WHERE {listed} ORDER BY offering, agent", params)

    def put_plan_check(self, check: PlanCheck) -> None:
        _CHECKS.put(self._session, check)

    def _conditions(self, asked: OfferingFilter) -> tuple[list[str], dict[str, object]]:
        conditions: list[str] = []
        params: dict[str, object] = {}
        for name in _EQUAL:
            if getattr(asked, name):
                conditions.append(f"{name} = :{name}")
                params[name] = getattr(asked, name)
        for name, rule in _BOUNDS.items():
            if getattr(asked, name):
                conditions.append(rule)
                params[name] = getattr(asked, name)
        for number, word in enumerate(asked.text.casefold().split()):
            conditions.append(f"searched LIKE :word_{number} ESCAPE '!'")
            params[f"word_{number}"] = f"%{_literal(word)}%"
        for number, (key, value) in enumerate(sorted(asked.settings.items())):
            conditions.append(self._setting(number))
            params |= {f"key_{number}": key, f"value_{number}": value}
        return conditions, params

    def _setting(self, number: int) -> str:
        if self._session.postgres:
            return f"CAST(settings AS jsonb) ->> :key_{number} = :value_{number}"
        return (
            "EXISTS (SELECT 1 FROM json_each(offerings.settings) AS s"
            f" WHERE s.key = :key_{number} AND s.value = :value_{number})"
        )


# Account ids are plain hex, so a quoted one stands in the JSON list exactly when it is a member.
_VISIBLE = (
    "(visibility = 'public' OR provider = :viewer"
    " OR (visibility = 'shared' AND allowed_accounts LIKE :listed))"
)


def _literal(word: str) -> str:
    return word.replace("!", "!!").replace("%", "!%").replace("_", "!_")
