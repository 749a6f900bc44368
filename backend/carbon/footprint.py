"""Energy and emissions of text generation, as `ecologits` estimates them: its formulae, its registry of models, its electricity mixes.

`ecologits` is imported on first use, which takes a tenth of a second and 16 MB. An estimate grows with the tokens of the answer along a
straight line, so one is drawn for each size of model and zone, and a call is a point on it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from backend.carbon.sizes import Size
from backend.catalog.names import model_key, split_date

if TYPE_CHECKING:
    from ecologits.model_repository import Model

WORLD = "WOR"
_MAKERS = {"openai": "openai", "anthropic": "anthropic", "google_genai": "google", "mistralai": "mistral", "cohere": "cohere"}
"""Providers of the registry that make what they serve, as the catalog calls them; others' are open models."""
_FAR = 1_000_000


@dataclass(frozen=True, slots=True)
class Footprint:
    """One call, or `calls` of them: watt-hours and grams of CO2 equivalent, use and manufacture of the servers together.

    `size` and `basis` say what the estimate rests on; `caveats` are the method's own.
    """

    model_id: str
    output_tokens: int
    calls: int
    zone: str
    wh_low: float
    wh_high: float
    grams_low: float
    grams_high: float
    size: Size
    basis: str
    caveats: tuple[str, ...]
    method: str

    @property
    def grams(self) -> float:
        """The middle of the range."""
        return (self.grams_low + self.grams_high) / 2

    @property
    def wh(self) -> float:
        """The middle of the range."""
        return (self.wh_low + self.wh_high) / 2


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing can be said of these calls, and why."""

    model_id: str
    output_tokens: int
    calls: int
    zone: str
    reason: str


class Line(NamedTuple):
    """What a call takes before its first token, and for each token: Wh and grams, low and high."""

    wh_low: tuple[float, float]
    wh_high: tuple[float, float]
    grams_low: tuple[float, float]
    grams_high: tuple[float, float]


class Server(NamedTuple):
    """Who runs the model: PUE of the data centre, and the speed (tokens a second, seconds to the first) where it was measured."""

    pue_low: float
    pue_high: float
    tokens_per_second: float | None = None
    first_token_seconds: float | None = None


class Entry(NamedTuple):
    """What the registry knows of a model."""

    name: str
    size: Size
    server: Server
    caveats: tuple[str, ...]
    maker: str | None


class Registry:
    """The registry of `ecologits` by the keys of our catalog. Made in a thread: it imports."""

    def __init__(self) -> None:
        from ecologits import __version__
        from ecologits.electricity_mix_repository import electricity_mixes
        from ecologits.model_repository import models
        from ecologits.tracers.utils import PROVIDER_CONFIG_MAP

        self.method = f"ecologits {__version__}"
        self.zones = frozenset(mix.zone for mix in electricity_mixes.list_electricity_mixes())
        pues = [end for config in PROVIDER_CONFIG_MAP.values() for end in _ends(config.datacenter_pue)]
        self.anybody = Server(min(pues), max(pues))
        """Of open models nobody knows who serves them: the spread of all data centres that the method knows."""
        self._entries: dict[str, list[Entry]] = {}
        for model in models.list_models():
            maker = _MAKERS.get(model.provider.value)
            pue = _ends(PROVIDER_CONFIG_MAP[model.provider.value].datacenter_pue) if maker else self.anybody[:2]
            entry = _entry(model, maker, pue)
            if entry.size.active_low == entry.size.active_high and pue[0] == pue[1]:
                # Where neither spreads, it is an open model that others serve, too.
                entry = entry._replace(server=entry.server._replace(pue_low=self.anybody.pue_low, pue_high=self.anybody.pue_high))
            self._entries.setdefault(model_key(model.name), []).append(entry)

    def find(self, model_id: str, creator: str | None) -> Entry | None:
        """The entry of a model, or of the same model under another date or mode of use."""
        key = model_key(model_id)
        for name in (key, split_date(key)[0], _without_use(key)):
            for entry in self._entries.get(name, ()):
                if entry.maker is None or entry.maker == creator:
                    return entry
        return None


_USES = ("batch", "thinking", "fast", "free", "high", "low", "medium", "latest", "chat-latest")


def _without_use(key: str) -> str:
    """The key of the same weights: how hard they think, and how soon, is in the number of tokens."""
    return next((key.removesuffix(f"-{use}") for use in _USES if key.endswith(f"-{use}")), key)


def _entry(model: "Model", maker: str | None, pue: tuple[float, float]) -> Entry:
    parameters = model.architecture.parameters
    total = getattr(parameters, "total", parameters)
    active = getattr(parameters, "active", parameters)
    speed, first = (None, None) if model.deployment is None else (model.deployment.tps, model.deployment.ttft)
    return Entry(
        f"{model.provider.value}/{model.name}",
        Size(*_ends(total), *_ends(active), "registry"),
        Server(*pue, speed, first),
        tuple(warning.message for warning in model.warnings),
        maker,
    )


@lru_cache(maxsize=4096)
def line(size: Size, server: Server, zone: str) -> Line:
    """The estimate as a straight line. `zone` must be one that the registry has."""
    start, far = _impacts(size, server, zone, 0), _impacts(size, server, zone, _FAR)
    return Line(*((at_start, (at_far - at_start) / _FAR) for at_start, at_far in zip(start, far, strict=True)))


def _impacts(size: Size, server: Server, zone: str, tokens: int) -> tuple[float, float, float, float]:
    from ecologits.electricity_mix_repository import electricity_mixes
    from ecologits.impacts.llm import compute_llm_impacts
    from ecologits.utils.range_value import RangeValue

    mix = electricity_mixes.find_electricity_mix(zone)
    assert mix is not None
    impacts = compute_llm_impacts(
        RangeValue(min=size.active_low, max=size.active_high),
        RangeValue(min=size.total_low, max=size.total_high),
        tokens,
        if_electricity_mix_adpe=mix.adpe,
        if_electricity_mix_pe=mix.pe,
        if_electricity_mix_gwp=mix.gwp,
        if_electricity_mix_wue=mix.wue,
        datacenter_pue=RangeValue(min=server.pue_low, max=server.pue_high),
        datacenter_wue=0.0,
        tps=server.tokens_per_second,
        ttft=server.first_token_seconds,
    )
    kwh, kilograms = _ends(impacts.energy.value), _ends(impacts.gwp.value)
    return kwh[0] * 1000, kwh[1] * 1000, kilograms[0] * 1000, kilograms[1] * 1000


def _ends(value: object) -> tuple[float, float]:
    low, high = getattr(value, "min", value), getattr(value, "max", value)
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    return float(low), float(high)
