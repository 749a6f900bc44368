"""All budgets and slices that a process knows of. Pure memory: the keeper reads it for every call, the desk writes it."""

from collections.abc import Iterable

from backend.budgets.accounts import END_USER, NO_SLICE, Account, Payer, Place, places_of
from backend.budgets.slices import Slice
from backend.budgets.tables import Budget


class Books:
    """A slice stays in `slices` until nothing of it is left, whatever happens to its budget meanwhile."""

    def __init__(self) -> None:
        self.accounts: dict[Place, Account] = {}
        self.by_id: dict[str, Account] = {}
        self.slices: dict[str, Slice] = {}
        self.known: set[str] = set()
        """Payers whose budgets were looked up in the database itself, so that no call comes before its key's budget is known."""
        self.chains: dict[str, tuple[Account, ...]] = {}
        """The budgets of each known payer; emptied whenever budgets come or go."""

    def chain(self, payer: Payer) -> tuple[Account, ...]:
        """The budgets that apply to a payer, the tenant's first; that one and an end user's own there always are."""
        chain = self.chains.get(payer.payer_id)
        if chain is None:
            places = places_of(payer)
            chain = tuple(self.account_at(place) for place in places if place in self.accounts or place[1] in ("tenant", END_USER))
            if payer.payer_id in self.known:
                self.chains[payer.payer_id] = chain
        return chain

    def known_chain(self, payer: Payer) -> tuple[Account, ...] | None:
        """The same without making anything; None for a payer whose budgets nobody has looked up yet."""
        return self.chain(payer) if payer.payer_id in self.known else None

    def account_at(self, place: Place) -> Account:
        account = self.accounts.get(place)
        if account is None:
            account = self.accounts[place] = Account(place)
            self.chains.clear()
        return account

    def learn(self, row: Budget, zone: str) -> Account:
        """Take over a budget as the database has it."""
        account = self.account_at((row.tenant_id, row.scope, row.scope_id))
        if account.budget_id != row.id:
            self.by_id.pop(account.budget_id, None)
            self.by_id[row.id] = account
        account.learn(row, zone)
        return account

    def replace(self, rows: Iterable[tuple[Budget, str]]) -> None:
        """Take over all budgets but those of end users; what is not there any more is forgotten. End users are looked up again when they
        ask again."""
        seen = {self.learn(row, zone).place for row, zone in rows}
        self.forget([account for place, account in self.accounts.items() if place not in seen])

    def forget(self, accounts: Iterable[Account]) -> None:
        """Budgets that are gone. What calls hold of them ends with the calls."""
        for account in accounts:
            account.use(NO_SLICE)
            self.accounts.pop(account.place, None)
            self.by_id.pop(account.budget_id, None)
            self.known.discard(account.place[2])
            self.chains.clear()

    def void(self, part: Slice) -> None:
        """The database does not hold this slice for us any more: admit nothing from it."""
        part.available = 0
        account = self.by_id.get(part.budget_id)
        if account is not None and account.slice is part:
            account.use(NO_SLICE)

    def drop(self, part: Slice) -> None:
        """Nothing is left of it. An end user of whom nothing is held is forgotten."""
        account = self.by_id.get(part.budget_id)
        self.void(part)
        self.slices.pop(part.lease_id, None)
        if account is not None and account.place[1] == END_USER and account.slice is NO_SLICE:
            self.forget([account])
