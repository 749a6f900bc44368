"""What a call emits, beside what it costs."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from backend.carbon.footprint import Footprint, Registry, Server, Unknown, line
from backend.carbon.sizes import Size, size_in_name
from backend.catalog.schemas import ModelSummary
from backend.catalog.service import CatalogService
from backend.kernel.errors import BadRequest, ModelNotFound

TEXT = frozenset({"chat", "completion"})
_BASIS = {"registry": "the registry's estimate for {name}", "published": "its maker's model card", "name": "the number in its name"}


class _Known(NamedTuple):
    size: Size
    server: Server
    basis: str
    caveats: tuple[str, ...]


class Emissions(NamedTuple):
    """Grams of CO2 equivalent of a call, the middle of the estimate: before its first token, and for each token of its answer."""

    start: float
    each: float


class CarbonService:
    """Args:
    zone: of the electricity, where a caller names none: ISO 3166-1 alpha-3, or WOR for the world's mean.

    `per_call` is synchronous and takes microseconds once `prepare` was awaited; without it, the first call imports for a tenth of a second.
    """

    def __init__(self, catalog: CatalogService, zone: str) -> None:
        self._catalog = catalog
        self.zone = zone
        self._registry: Registry | None = None
        self._preparing = asyncio.Lock()
        self._version: object = None
        self._known: dict[str, _Known | str] = {}

    async def prepare(self) -> None:
        """Import what the estimates need, off the loop."""
        async with self._preparing:
            if self._registry is None:
                self._registry = await asyncio.to_thread(Registry)

    def per_call(self, model_id: str, output_tokens: int, *, calls: int = 1, zone: str | None = None) -> Footprint | Unknown:
        """The estimate for `calls` calls that answer with so many tokens each, thoughts among them.

        Raises:
            ModelNotFound: there is no such model.
            BadRequest: there is no such zone.
        """
        registry = self._ready()
        zone = self.zone if zone is None else zone.upper()
        if zone not in registry.zones:
            raise BadRequest(
                f"There is no electricity zone {zone[:20]!r}: a country in three letters, such as FRA, or WOR for the world.", param="zone"
            )
        summary = self._catalog.summary(model_id)
        if summary is None:
            raise ModelNotFound(f"There is no model {model_id[:100]!r} in the catalog.", param="id")
        known = self._of(summary, registry)
        if isinstance(known, str):
            return Unknown(summary.id, output_tokens, calls, zone, known)
        drawn = line(known.size, known.server, zone)
        wh_low, wh_high, grams_low, grams_high = [calls * (start + output_tokens * each) for start, each in drawn]
        return Footprint(
            model_id=summary.id,
            output_tokens=output_tokens,
            calls=calls,
            zone=zone,
            wh_low=wh_low,
            wh_high=wh_high,
            grams_low=grams_low,
            grams_high=grams_high,
            size=known.size,
            basis=known.basis,
            caveats=known.caveats,
            method=registry.method,
        )

    def emissions(self, model_ids: Iterable[str]) -> list[Emissions | None]:
        """In the order of the models, None where there is no estimate. Looks at each for a tenth of a millisecond, and longer the first
        time: to be called in a thread."""
        registry = self._ready()
        return [self._emissions(model_id, registry) for model_id in model_ids]

    def _emissions(self, model_id: str, registry: Registry) -> Emissions | None:
        summary = self._catalog.summary(model_id)
        known = None if summary is None else self._of(summary, registry)
        if known is None or isinstance(known, str):
            return None
        drawn = line(known.size, known.server, self.zone)
        start, each = ((low + high) / 2 for low, high in zip(drawn.grams_low, drawn.grams_high, strict=True))
        return Emissions(start, each)

    def size_of(self, model: ModelSummary) -> Size | None:
        """How large the model is, as far as anybody says."""
        known = self._of(model, self._ready())
        return size_in_name(model.id) if isinstance(known, str) else known.size

    def zones(self) -> list[str]:
        return sorted(self._ready().zones)

    def _ready(self) -> Registry:
        if self._registry is None:
            self._registry = Registry()
        return self._registry

    def _of(self, model: ModelSummary, registry: Registry) -> _Known | str:
        if self._version != self._catalog.version:
            self._version, self._known = self._catalog.version, {}
        known = self._known.get(model.id)
        if known is None:
            known = self._known[model.id] = _look_up(model, registry)
        return known


def _look_up(model: ModelSummary, registry: Registry) -> _Known | str:
    """What is known, or the reason why there is nothing."""
    if model.mode not in TEXT:
        return "The method is for models that write text."
    entry = registry.find(model.id, model.creator)
    if entry is not None:
        return _Known(entry.size, entry.server, _BASIS["registry"].format(name=entry.name), entry.caveats)
    size = size_in_name(model.id)
    if size is not None:
        return _Known(size, registry.anybody, _BASIS[size.source], ())
    if model.open_weights:
        return "Neither the registry nor its name says how many parameters work on a token."
    return "Its maker does not say how large it is, and the registry has no estimate."
