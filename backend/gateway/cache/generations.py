"""How often the answers of each tenant were cleared, and those of all: two numbers that are part of every key."""

from backend.gateway.cache import repository
from backend.gateway.cache.repository import ALL
from backend.kernel.db import Database


class Generations:
    """As every process knows them; `load` belongs on the change feed, and on an error the old ones stay."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._numbers: dict[str, int] = {}

    async def load(self) -> bool:
        """Read them anew; whether any has moved on."""
        async with self._db.read() as session:
            before, self._numbers = self._numbers, await repository.numbers(session)
        return self._numbers != before

    def of(self, tenant_id: str) -> tuple[int, int]:
        return self._numbers.get(ALL, 0), self._numbers.get(tenant_id, 0)
