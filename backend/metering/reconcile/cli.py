"""`python -m backend reconcile`."""

from typing import Annotated, Any

import typer

from backend.identity.command_line import Hand, carry_out, instant
from backend.kernel.terminal import REFUSED, AsJson, Record, show_list, show_one, usd
from backend.metering.reconcile.schemas import Difference, Reconciliation
from backend.metering.reconcile.service import ReconcileService

_COLUMNS = ("kind", "place", "measure", "ledger", "counted", "difference", "reason")


def mount(app: typer.Typer) -> None:
    """Add `reconcile` to the operator's command line."""
    app.command()(reconcile)


def reconcile(
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="Only this one; slug or id.")] = None,
    since: Annotated[str | None, typer.Option(metavar="MOMENT", help="From that day on; 30d is thirty days ago.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Bring rollups to what the ledger says.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare ledger, budgets and rollups to the nano-dollar; exit code 1 if anything differs."""

    async def work(hand: Hand) -> Reconciliation:
        now = hand.clock.now()
        moment = None if since is None else instant(since, now, param="since")
        if moment is not None and moment > now:
            moment = now - (moment - now)  # a span is so long ago here
        tenant_id = None if tenant is None else (await hand.identity.tenants.get(hand.principal, tenant)).id
        service = ReconcileService(hand.db, hand.clock, hand.audit, hand.settings.data_dir)
        return await service.run(hand.principal, tenant_id=tenant_id, since=moment and moment.date(), repair=repair)

    found = carry_out(work)
    if as_json:
        show_one(_record(found), as_json=True)
    else:
        _show(found)
    if not found.agrees:
        raise typer.Exit(REFUSED)


def _record(found: Reconciliation) -> dict[str, Any]:
    return {
        "at": found.at,
        "agrees": found.agrees,
        "tenants": found.tenants,
        "calls": found.calls,
        "charged_usd": usd(found.charged_nano),
        "provider_cost_usd": usd(found.provider_cost_nano),
        "found": found.found,
        "repaired_rows": found.repaired,
        "refused_rows": found.refused_rows,
        "differences": [_difference(one) for one in found.differences],
        "leases": [
            {"process": one.process, "alive": one.alive, "leases": one.leases, "held_usd": usd(one.held_nano)} for one in found.leases
        ],
        "journals": [
            {
                "process": one.process,
                "alive": one.alive,
                "ended": one.ended,
                "charged_usd": usd(one.charged_nano),
                "running": one.running,
            }
            for one in found.journals
        ],
    }


def _difference(one: Difference) -> dict[str, Any]:
    """Amounts of money as exact dollars, everything else as numbers."""
    money = one.measure.endswith("_nano")
    return {
        "kind": one.kind,
        "tenant_id": one.tenant_id,
        "place": one.place,
        "measure": one.measure.removesuffix("_nano") + ("_usd" if money else ""),
        "ledger": usd(one.ledger) if money else one.ledger,
        "counted": usd(one.counted) if money else one.counted,
        "difference": usd(one.difference) if money else one.difference,
        "reason": one.reason,
    }


def _show(found: Reconciliation) -> None:
    record = _record(found)
    lists: dict[str, list[Record]] = {name: record.pop(name) for name in ("differences", "leases", "journals")}
    show_one(record, as_json=False)
    typer.echo()
    show_list(lists["differences"], _COLUMNS, as_json=False, empty="Ledger, budgets, rollups and attempts agree.")
    for name, empty in (("leases", "No process holds anything of a budget."), ("journals", "No journal waits.")):
        typer.echo(f"\n{name}:")
        show_list(lists[name], list(lists[name][0]) if lists[name] else [], as_json=False, empty=empty)
