"""Payments and refunds, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decent_cloud.kernel.errors import AlreadyExists, StaleVersion
from decent_cloud.kernel.ids import ContractId, PaymentId, RefundId
from decent_cloud.kernel.status import PaymentState, RefundState
from tests.contracts.conftest import Held
from tests.contracts.samples import each, payment, refund


def test_a_payment_is_replaced_by_version(held: Held) -> None:
    settled = replace(payment(), state=PaymentState.SETTLED, external="ch_1")
    held.write(lambda uow: uow.payments.add(payment()))
    held.write(lambda uow: uow.payments.save(settled))
    stored = replace(settled, version=2)
    assert held.read(lambda uow: uow.payments.get(PaymentId("c1.1.p1"))) == stored
    assert held.read(lambda uow: uow.payments.by_external("sandbox", "ch_1")) == stored
    assert held.read(lambda uow: uow.payments.by_external("sandbox", "")) is None
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.payments.save(settled))


def test_a_term_has_one_open_payment(held: Held) -> None:
    held.write(lambda uow: uow.payments.add(payment()))
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.payments.add(payment("c1.1.p2")))
    held.write(lambda uow: uow.payments.save(replace(payment(), state=PaymentState.EXPIRED)))
    held.write(lambda uow: uow.payments.add(payment("c1.1.p2")))
    found = held.read(lambda uow: uow.payments.of_contract(ContractId("c1")))
    assert [row.id for row in found] == ["c1.1.p1", "c1.1.p2"]


def test_a_processors_id_names_one_payment(held: Held) -> None:
    settled = {"state": PaymentState.SETTLED}
    held.write(lambda uow: uow.payments.add(payment("p1", external="ch_1", **settled)))
    held.write(lambda uow: uow.payments.add(payment("p2", external="", **settled)))
    held.write(lambda uow: uow.payments.add(payment("p3", external="", **settled)))
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.payments.add(payment("p4", external="ch_1", **settled)))


def test_due_payments_come_most_overdue_first(held: Held) -> None:
    expired = {"state": PaymentState.EXPIRED}
    rows = [payment(f"p{at}", deadline_ms=at, **expired) for at in (30, 10, 0, 40)]
    held.write(lambda uow: each(uow.payments.add, rows))
    assert [row.id for row in held.read(lambda uow: uow.payments.due(30, 9))] == ["p10", "p30"]


def test_a_refund_is_replaced_by_version(held: Held) -> None:
    sent = replace(refund(), state=RefundState.SENT)
    held.write(lambda uow: uow.payments.add_refund(refund()))
    held.write(lambda uow: uow.payments.save_refund(sent))
    with pytest.raises(StaleVersion):
        held.write(lambda uow: uow.payments.save_refund(sent))
    with pytest.raises(AlreadyExists):
        held.write(lambda uow: uow.payments.add_refund(refund()))
    stored = replace(sent, version=2)
    assert held.read(lambda uow: uow.payments.refund(RefundId("c1.1.p1.r1"))) == stored
    assert held.read(lambda uow: uow.payments.refunds_of(ContractId("c1"))) == (stored,)
