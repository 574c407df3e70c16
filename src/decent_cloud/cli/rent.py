"""`decent rent`: verify an offer, sign an order, pay, follow it until the machine answers, open its credential."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click

from decent_cloud.cli import words
from decent_cloud.cli.access import access_rows, access_shape, open_access, ssh_call
from decent_cloud.cli.commands import Leaf
from decent_cloud.cli.keys import Identities, public_file, public_keys
from decent_cloud.cli.paying import agree, payment
from decent_cloud.cli.progress import ENDED, Steps, follow
from decent_cloud.cli.session import Session, pass_session
from decent_cloud.client.offerings import verified_quote
from decent_cloud.client.rentals import SignedOrder, Wish, send, sign
from decent_cloud.kernel import codec
from decent_cloud.kernel.clock import parse_rfc3339
from decent_cloud.kernel.errors import Conflict, Invalid
from decent_cloud.kernel.ids import AccountId
from decent_cloud.kernel.status import ContractState
from decent_cloud.wire.v1.contracts import ContractView


class RentalEnded(Conflict):
    """The rental ended before the machine was ready; what was paid goes back."""

    code = "rental_ended"


@dataclass(frozen=True, slots=True)
class _Shown:
    """How the answer is shown."""

    wait: bool
    watch: bool
    reveal: bool


@click.command(
    "rent",
    cls=Leaf,
    example="decent rent OFFERING --hours 4 --ssh-key ~/.ssh/id_ed25519.pub\n"
    "decent rent OFFERING --hours 4 --ssh-key key.pub --pay sandbox --card test-ok --max-price 1 --yes",
)
@click.argument("offering", required=False, default="")
@click.option("--hours", type=click.IntRange(1, 87_600), help="How long.")
@click.option(
    "--ssh-key",
    "ssh_keys",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A public key file (repeat).",
)
@click.option(
    "--pay",
    default="",
    help="credit, prepaid or a processor; usual: the platform's only processor.",
)
@click.option("--card", default="", help="What the processor needs; sandbox: a test card's name.")
@click.option("--max-price", default="", help="Refuse a higher total, in major units.")
@click.option("--renew", is_flag=True, help="Let the platform extend it from your credit.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Return as soon as the order is placed.")
@click.option("--watch", is_flag=True, help="With --json: a line for each step, then the result.")
@click.option("--reveal", is_flag=True, help="Show the password too.")
@click.option("--resume", is_flag=True, help="Send the last order again whose answer was lost.")
@pass_session
def rent(
    session: Session,
    offering: str,
    hours: int | None,
    ssh_keys: tuple[Path, ...],
    pay: str,
    card: str,
    max_price: str,
    renew: bool,
    yes: bool,
    no_wait: bool,
    watch: bool,
    reveal: bool,
    resume: bool,
) -> None:
    """Rent OFFERING: check its signed terms, sign an order, pay, wait until it answers.

    Nothing is signed before the provider's signature, the terms and their hash fit the provider's
    key chain. The signed order is kept until it is answered: after a crash, decent rent --resume
    sends the same one again, and the platform never makes two contracts of it.
    """
    if resume:
        order = session.orders.only()
    else:
        if not offering or hours is None:
            raise Invalid("say what and how long: decent rent OFFERING --hours N", field="hours")
        order = _order(
            session,
            offering,
            hours,
            ssh_keys,
            renew=renew,
            pay=pay,
            card=card,
            max_price=max_price,
            yes=yes,
        )
    contract = _place(session, order)
    _await_ready(session, contract, _Shown(wait=not no_wait, watch=watch, reveal=reveal))


def _order(
    session: Session,
    offering: str,
    hours: int,
    ssh_keys: tuple[Path, ...],
    *,
    renew: bool,
    pay: str,
    card: str,
    max_price: str,
    yes: bool,
) -> SignedOrder:
    """Verify, show, ask, sign."""
    lines = public_keys(ssh_keys)
    view = session.client.offerings.read(offering)
    quote = verified_quote(view, session.trust.chain(AccountId(view.provider)))
    if not view.rentable:
        raise Conflict(
            f"{view.title!r} cannot be rented now: {view.not_rentable_because}", field="offering"
        )
    if not view.min_hours <= hours <= view.max_hours:
        raise Invalid(
            f"this offering is rented for {view.min_hours} to {view.max_hours} hours", field="hours"
        )
    agree(session, quote, hours, max_price=max_price, yes=yes)
    wish = Wish(hours, lines, payment(session, quote, pay, card), "credit" if renew else "no")
    order = sign(quote, wish, session.signer, session.now_ms())
    return replace(order, ssh_key_file=str(public_file(ssh_keys[0]).absolute()))


def _place(session: Session, order: SignedOrder) -> ContractView:
    try:
        contract = send(session.client.contracts, session.orders, order)
    except KeyboardInterrupt:
        session.out.say("The order may have been taken. To know: decent rent --resume")
        raise
    Identities(session.folder / "identities").remember(contract.id, order.ssh_key_file)
    session.out.say(f"ordered: contract {contract.id}, {words.amount(contract.total)}")
    return contract


def _await_ready(session: Session, contract: ContractView, how: _Shown) -> None:
    """Follow a contract until it is active, then open its credential; Ctrl-C leaves it running."""
    try:
        if how.wait:
            _follow(session, contract, watch=how.watch)
        found = session.client.contracts.read(contract.id)
        if found.state in ENDED:
            raise RentalEnded(_why(found), contract=found.id, state=found.state.value)
        if found.state is not ContractState.ACTIVE:
            _show_placed(session, found)
            return
        _show_ready(session, found, reveal=how.reveal)
    except KeyboardInterrupt:
        session.out.say(
            f"The contract goes on without you. See it: decent contracts watch {contract.id}\n"
            f"End it: decent contracts cancel {contract.id}"
        )
        raise


def _follow(session: Session, contract: ContractView, *, watch: bool) -> None:
    with Steps(session.out, parse_rfc3339(contract.created_at)).shown() as steps:
        for step in follow(session.client.contracts, contract.id, _settled):
            if session.out.json and watch:
                session.out.data(step)
            elif not session.out.json:
                steps.step(step)


def _settled(state: ContractState) -> bool:
    return state is ContractState.ACTIVE or state in ENDED


def _show_placed(session: Session, found: ContractView) -> None:
    if session.out.json:
        session.out.data(found)
        return
    session.out.fields(
        [("contract", found.id), ("state", found.state.value), ("waits for", found.waits_for)]
    )


def _show_ready(session: Session, found: ContractView, *, reveal: bool) -> None:
    credential = open_access(session, found)
    call = ssh_call(session, found.id, credential.access)
    if session.out.json:
        extra = {"access": access_shape(credential, reveal=reveal), "ssh": call}
        session.out.data(codec.plain(found) | extra)
        return
    session.out.fields(
        [
            ("contract", found.id),
            ("state", found.state.value),
            ("paid until", words.when(found.paid_until, session.now_ms())),
            *access_rows(credential, reveal=reveal),
            ("log in", f"decent ssh {found.id}"),
        ]
    )


def _why(found: ContractView) -> str:
    details = [payment.detail for payment in found.payments if payment.detail]
    reason = "; ".join([*([found.end_reason] if found.end_reason else []), *details])
    back = ", ".join(words.amount(one.amount) for one in found.refunds)
    return (
        f"contract {found.id} is {found.state.value}"
        + (f": {reason}" if reason else "")
        + (f"; goes back: {back}" if back else "")
    )
