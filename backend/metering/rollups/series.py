"""Which series there are, as far as one process needs to know."""

import hashlib
from collections.abc import Iterable

import orjson

from backend.kernel.db import Database
from backend.metering.rollups import repository
from backend.metering.rollups.gather import ALL, DIMENSIONS, GRAINS, Names, Series, coarser, whole

MOST_NAMES = 1_000
"""So many combinations of model, route and task does a tenant have in charts; calls with further ones are added up as `OTHER`. The names
come from outside (a provider may call its model anew in every answer), and charts must stay quick."""
OTHER = "(other)"
_MOST_KNOWN = 20_000
OPEN = tuple(map(DIMENSIONS.index, ("model", "route", "task")))
_Open = tuple[str, ...]


class SeriesBook:
    """The ids of series by their names; every id that it answers is in the database."""

    def __init__(self) -> None:
        self._ids: dict[Names, tuple[bytes, ...]] = {}
        self._open_names: dict[str, set[_Open]] = {}
        """By tenant, the combinations that have series of their own."""

    async def learn(self, db: Database, calls: Iterable[Names]) -> None:
        """Make sure of the series of calls with these names. Raises what the database raises."""
        wanted_names = set(calls)
        unknown = wanted_names - self._ids.keys()
        if not unknown:
            return
        if len(self._ids) > _MOST_KNOWN:
            self._ids, self._open_names = {}, {}
            unknown = wanted_names
        strangers = {str(names[0]) for names in unknown} - self._open_names.keys()
        if strangers:
            async with db.read() as session:
                known = await repository.open_names(session, sorted(strangers))
            self._open_names |= {tenant: set(known.get(tenant, ())) for tenant in strangers}
        wanted = {names: self._bounded(names) for names in unknown}
        grains = {fine: tuple([coarser(fine, keeps) for keeps, _ in GRAINS]) for fine in set(wanted.values())}
        made = {series: id_of(series) for found in grains.values() for series in found}
        async with db.write() as unit:
            await repository.add_series(unit.session, sorted([(key, *series) for series, key in made.items()]))
        for names, series in wanted.items():
            self._ids[names] = tuple([made[one] for one in grains[series]])

    def ids_of(self, names: Names) -> tuple[bytes, ...]:
        """The series of each grain, of calls that were learned."""
        return self._ids[names]

    def knows(self, names: Names) -> bool:
        return names in self._ids

    def _bounded(self, names: Names) -> Series:
        series = whole(names)
        known = self._open_names[series[0]]
        open_names = tuple([series[index] for index in OPEN])
        if open_names in known:
            return series
        if len(known) < MOST_NAMES and ALL not in open_names:
            known.add(open_names)
            return series
        return tuple([OTHER if index in OPEN else name for index, name in enumerate(series)])


def id_of(series: Series) -> bytes:
    """Any process finds the same without asking."""
    return hashlib.blake2b(orjson.dumps(series), digest_size=16).digest()
