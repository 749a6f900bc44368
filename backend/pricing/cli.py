"""`python -m backend prices …`: an operator's own prices, and decisions about those in quarantine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.kernel.terminal import AsJson, say, show_list, show_one

if TYPE_CHECKING:
    from backend.identity.command_line import Hand
    from backend.pricing.edits import PriceEdits

prices = typer.Typer(no_args_is_help=True, help="Prices that are doubted, and prices of one's own.")
Note = Annotated[str, typer.Option(help="Why, for whoever reads the audit log.")]
Together = Annotated[bool, typer.Option("--together", help="With all that waits of the same source and offer.")]
PriceId = Annotated[str, typer.Argument(metavar="PRICE", help="The id of a price.")]
_COLUMNS = ("id", "offer_id", "source", "component", "tier", "usd_per_million", "reason")


def mount(app: typer.Typer) -> None:
    """Add the commands to the operator's command line."""
    app.add_typer(prices, name="prices")


@prices.command()
def quarantine(
    state: Annotated[str, typer.Option(help="waiting, accepted or rejected.")] = "waiting",
    offer: Annotated[str | None, typer.Option(metavar="OFFER", help="Of that offer only.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the prices that wait for a person, and why; or those that were accepted or rejected."""
    from backend.identity.command_line import carry_out

    async def work(hand: "Hand") -> list[Any]:
        edits, found = _edits(hand), []
        page = await edits.doubted(hand.principal, state, offer_id=offer, limit=200)
        found += page.items
        while page.next_cursor is not None:
            page = await edits.doubted(hand.principal, state, offer_id=offer, limit=200, cursor=page.next_cursor)
            found += page.items
        return found

    _show(carry_out(work), as_json, "Nothing is in quarantine." if state == "waiting" else f"Nothing was {state}.")


@prices.command()
def accept(price: PriceId, note: Note = "", together: Together = False, as_json: AsJson = False) -> None:
    """Let a price in quarantine pass, for good."""
    from backend.identity.command_line import carry_out

    _show(carry_out(lambda hand: _edits(hand).accept(hand.principal, price, note=note, together=together)), as_json, "")


@prices.command()
def reject(price: PriceId, note: Note = "", together: Together = False, as_json: AsJson = False) -> None:
    """Take a price out, for as long as its source says the same."""
    from backend.identity.command_line import carry_out

    _show(carry_out(lambda hand: _edits(hand).reject(hand.principal, price, note=note, together=together)), as_json, "")


@prices.command("set")
def set_price(
    offer: Annotated[str, typer.Argument(metavar="OFFER", help="provider/model, as the provider calls it.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Per 1,000,000 units; 0 says that it is free.")],
    component: Annotated[str, typer.Option(help="input, output, cache_read …")] = "input",
    unit: Annotated[str, typer.Option(help="token, second, image …")] = "token",
    per: Annotated[int, typer.Option(help="How many units the amount is for.")] = 1_000_000,
    currency: Annotated[str, typer.Option(help="Converted at the ECB's rate of the day.")] = "USD",
    tier: Annotated[str | None, typer.Option(help="batch, flex, priority …")] = None,
    override: Annotated[bool, typer.Option("--override", help="It is right, however unlikely it looks.")] = False,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """State a price of one's own; it is in force from now on, before what sources say."""
    from decimal import Decimal, InvalidOperation

    from backend.identity.command_line import carry_out
    from backend.kernel.errors import BadRequest
    from backend.pricing.edits import OwnPrice
    from backend.pricing.tiers import Tier

    async def work(hand: "Hand") -> list[Any]:
        try:
            number = Decimal(amount)
        except InvalidOperation:
            raise BadRequest("An amount is written as 2.5.", param="amount") from None
        own = OwnPrice(component, number, unit, per, currency, Tier(service_tier=tier))
        return await _edits(hand).ingest(hand.principal, offer, [own], override=override, note=note)

    shown = [_record(offer, one, one.reason) for one in carry_out(work)]
    show_list(shown, _COLUMNS, as_json=as_json, empty="It was so before.")


@prices.command()
def withdraw(price: PriceId, as_json: AsJson = False) -> None:
    """Take back a price of one's own; the sources count again."""
    from backend.identity.command_line import carry_out

    carry_out(lambda hand: _edits(hand).withdraw(hand.principal, price))
    if as_json:
        show_one({"id": price, "withdrawn": True}, as_json=True)
    say("Taken back.", as_json=as_json)


def _edits(hand: "Hand") -> "PriceEdits":
    from backend.pricing.edits import PriceEdits

    return PriceEdits(hand.db, hand.clock, hand.audit)


def _show(found: list[Any], as_json: bool, empty: str) -> None:
    shown = [
        _record(one.offer_id, one.price, one.doubt) | {"verdict": one.verdict, "decided_by": one.decided_by, "note": one.note}
        for one in found
    ]
    show_list(shown, _COLUMNS, as_json=as_json, empty=empty)


def _record(offer_id: str, price: Any, reason: str | None) -> dict[str, Any]:
    names = ("id", "source", "component", "unit", "tier", "usd_per_million", "currency", "amount", "effective_at", "status", "in_force")
    return {"offer_id": offer_id, **{name: getattr(price, name) for name in names}, "reason": reason}
