"""Everything that matching looks at, as columns over all models: built once for each version of catalog, prices and benchmarks, in a
thread, and never changed afterwards.
"""

from array import array
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from operator import or_
from typing import NamedTuple, Protocol

from backend.catalog.schemas import ModelSummary
from backend.catalog.sold import OfferEntry
from backend.catalog.taxonomy import CAPABILITIES, MODALITIES, is_guard
from backend.matching.kinship import kin, plain_name
from backend.matching.languages import in_name
from backend.matching.offer_costs import UNKNOWN, OfferCosts
from backend.matching.quality import QualityColumns
from backend.pricing.cost import PriceCard
from backend.pricing.doubt import standing

CAPABILITY_BIT = {word: 1 << i for i, word in enumerate(CAPABILITIES)}
MODALITY_BIT = {word: 1 << i for i, word in enumerate(MODALITIES)}
SENSES = {"vision": "image", "audio_input": "audio", "video_input": "video", "pdf_input": "pdf"}
"""Abilities to take something in, and what: a model may have them at one seller and not at another."""
_SENSE_BIT = {word: 1 << i for i, pair in enumerate(SENSES.items()) for word in pair}
SIMULATED = "bourse"
_ENDED = frozenset({"retired", "deprecated"})
_KEPT_COSTS = 8
_OF_ONE_LANGUAGE = frozenset({"embedding", "rerank", "audio_speech", "audio_transcription"})
"""Modes in which a model with a language in its name knows that one alone; what chats knows others, too."""
FAST_WORDS = frozenset({"flash", "mini", "nano", "lite", "haiku", "instant", "turbo", "small", "fast", "highspeed", "air", "tiny", "micro"})
"""Words by which makers sell a model as the quick one of its family."""


class SkillScore(Protocol):
    """How well a model does, 0 to 100; `results` is how many were counted."""

    @property
    def score(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def results(self) -> int: ...
    @property
    def self_reported(self) -> int: ...


class Scores(Protocol):
    """What benchmarks say of all models."""

    def skills(self, model_id: str) -> Mapping[str, SkillScore]: ...
    def overall(self, model_id: str) -> SkillScore | None: ...
    def on(self, benchmark_id: str) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class ModelFacts:
    languages: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class OfferFacts:
    """`senses`: bits of `SENSES` that its sources state of the offer itself."""

    region: str | None = None
    context_tokens: int | None = None
    senses: int = 0


class Likeness(NamedTuple):
    """What many models have in common; `takes`, `gives` and `capabilities` are bits."""

    mode: str
    status: str
    takes: int
    gives: int
    capabilities: int
    open_weights: bool | None
    creator: str | None
    guard: bool
    simulated: bool


@dataclass(frozen=True, slots=True)
class Source:
    """What columns are made of."""

    sold: Sequence[tuple[ModelSummary, Sequence[OfferEntry]]]
    cards: Iterable[PriceCard]
    models: Mapping[str, ModelFacts]
    offers: Mapping[str, OfferFacts]
    scores: Scores | None = None
    benchmarks: Mapping[str, str] = field(default_factory=dict)
    """Every benchmark's id with its name."""
    as_of: Mapping[str, date] = field(default_factory=dict)
    """Every price source's name with the day that it describes."""


SortedOut = tuple[list[int], list[int], dict[str, list[int]]]
"""Places of models that do what is asked at all, of those of them that are able to, and of the others by the reason why not."""


class ByPlace(NamedTuple):
    """Of every model by place, for costs by row: the row of its cheapest offer (-1 where nobody sells it), and the least that anybody
    takes for it, 0 where nobody does."""

    cheapest: Sequence[int]
    least: Sequence[int]


_NO_MODEL, _NO_OFFER = ModelFacts(), OfferFacts()


class Columns:
    """Models by place (in the catalog's order of relevance), offers by row; a model's rows lie side by side, the
    cheapest first. Retired offers are not there."""

    def __init__(self, source: Source) -> None:
        self._as_of = source.as_of
        self.models = tuple(model for model, _ in source.sold)
        self.place = {model.id: place for place, model in enumerate(self.models)}
        self.first = array("l", [0])
        self.offers: list[OfferEntry] = []
        for _, entries in source.sold:
            self.offers += (offer for offer in entries if not offer.retired)
            self.first.append(len(self.offers))
        self.row = {offer.id: row for row, offer in enumerate(self.offers)}
        facts = [source.models.get(model.id, _NO_MODEL) for model in self.models]
        sold_facts = [source.offers.get(offer.id, _NO_OFFER) for offer in self.offers]
        self.regions = [one.region for one in sold_facts]
        self._lacking = self._senses_lacking([one.senses for one in sold_facts])
        self.offer_contexts = array("q", [one.context_tokens or 0 for one in sold_facts])
        self.languages = [
            frozenset(one.languages) or (in_name(model.id) if model.mode in _OF_ONE_LANGUAGE else frozenset())
            for model, one in zip(self.models, facts, strict=True)
        ]
        self.states_languages = any(self.languages)
        self.licences = [one.licence for one in facts]
        self.fast = [not FAST_WORDS.isdisjoint(model.id.split("-")) for model in self.models]
        self.capabilities = [bits(model.capabilities, CAPABILITY_BIT) for model in self.models]
        self.denied = [bits(one.denied, CAPABILITY_BIT) for one in facts]
        self.free = bytearray(offer.price_state == "free" for offer in self.offers)
        self.doubtful = bytearray(offer.doubt is not None for offer in self.offers)
        self._last = bytearray(standing(offer.price_state, offer.doubt) for offer in self.offers)
        kinds = [f"{model.creator}/{kin(model.id)}" for model in self.models]
        numbers: dict[str, int] = {}
        self.kin = array("l", [numbers.setdefault(kind, len(numbers)) for kind in kinds])
        self._ended = {
            kind: model.status
            for kind, model in zip(kinds, self.models, strict=True)
            if model.status in _ENDED and kind == f"{model.creator}/{plain_name(model.id)}"
        }
        self._selling = {model.creator for model in self.models if model.own_offer is not None}
        self.newest = max((model.release_date for model in self.models if model.release_date is not None), default=None)
        """The day on which the newest model came."""
        self.likeness = [self._like(place, kinds[place]) for place in range(len(self.models))]
        self.alike: dict[Likeness, list[int]] = {}
        for place, like in enumerate(self.likeness):
            self.alike.setdefault(like, []).append(place)
        simulated = (place for place, like in enumerate(self.likeness) if like.simulated)
        self.simulators = frozenset(self.offers[row].provider for place in simulated for row in self.rows_of(place))
        """Ids of providers that answer without any model."""
        self.contexts = array("q", [model.context_tokens or 0 for model in self.models])
        self.costs = OfferCosts((offer.id for offer in self.offers), source.cards)
        self.skills: list[Mapping[str, SkillScore]] = [{} for _ in self.models]
        self.overall: list[SkillScore | None] = [None for _ in self.models]
        self.base_skills: list[Mapping[str, SkillScore]] = [{} for _ in self.models]
        """The same without those in single languages, by name."""
        self.results: list[dict[str, float]] = [{} for _ in self.models]
        self.has_scores = source.scores is not None
        self.benchmark_names = dict(source.benchmarks)
        if source.scores is not None:
            self._add_scores(source.scores, source.benchmarks)
        self.quality = QualityColumns(self)
        self.sorted_out: OrderedDict[Hashable, SortedOut] = OrderedDict()
        """Kept by `candidates` for the questions that were asked last."""
        self._by_place: OrderedDict[int, tuple[Sequence[int], ByPlace]] = OrderedDict()

    def _like(self, place: int, kind: str) -> Likeness:
        model = self.models[place]
        # A preview or snapshot that its maker sells no longer ends with the model that it was of.
        status = self._ended.get(kind, model.status) if model.own_offer is None and model.status not in _ENDED else model.status
        return Likeness(
            model.mode,
            status,
            bits(model.modalities_in, MODALITY_BIT),
            bits(model.modalities_out, MODALITY_BIT),
            self.capabilities[place],
            model.open_weights,
            model.creator,
            is_guard(model.id),
            model.creator == SIMULATED,
        )

    def _senses_lacking(self, stated: Sequence[int]) -> bytearray:
        """By row, what other offers of the same model are stated to take in, and this one is not."""
        lacking = bytearray(len(stated))
        for place in range(len(self.models)):
            rows = self.rows_of(place)
            anywhere = reduce(or_, (stated[row] for row in rows), 0)
            for row in rows:
                lacking[row] = anywhere & ~stated[row]
        return lacking

    def taking(self, words: Iterable[str]) -> Sequence[bool] | None:
        """By row, whether the offer takes in what these abilities or modalities mean, as far as its model's sellers differ; None where they
        mean nothing of the kind."""
        wanted = senses_of(words)
        return [not lacks & wanted for lacks in self._lacking] if wanted else None

    def rows_of(self, place: int) -> range:
        """The offers of a model."""
        return range(self.first[place], self.first[place + 1])

    def cheapest(self, rows: Sequence[int], costs: Sequence[int]) -> int:
        """The one of these offers (one at least) where a call costs least. What is given away is rationed and comes after what is sold,
        doubtful prices come after both; what has no price comes last."""
        last, best = self._last, rows[0]
        for row in rows[1:]:
            cost, least = costs[row], costs[best]
            if cost != UNKNOWN and (least == UNKNOWN or (cost < least if last[row] == last[best] else last[best] > last[row])):
                best = row
        return best

    def is_orphan(self, place: int) -> bool:
        """Whether its maker, who keeps the weights, sells other models and not this one."""
        model = self.models[place]
        return model.own_offer is None and not model.open_weights and model.creator in self._selling

    def by_place(self, costs: Sequence[int]) -> ByPlace:
        """What is made once of costs by row; kept for as long as these are asked for."""
        kept = self._by_place.get(id(costs))
        if kept is None or kept[0] is not costs:
            places = [self.rows_of(place) for place in range(len(self.models))]
            found = ByPlace(
                array("l", [self.cheapest(rows, costs) if rows else -1 for rows in places]),
                # Prices that are not known are negative, and what is given away costs nothing: neither is a price.
                [min([cost for cost in costs[rows.start : rows.stop] if cost > 0], default=0) for rows in places],
            )
            kept = self._by_place[id(costs)] = (costs, found)
            if len(self._by_place) > _KEPT_COSTS:
                self._by_place.popitem(last=False)
        return kept[1]

    def as_of(self, row: int) -> str | None:
        """The day that the source of an offer's price describes."""
        day = self._as_of.get(self.offers[row].source or "")
        return None if day is None else day.isoformat()

    def _add_scores(self, scores: Scores, benchmarks: Iterable[str]) -> None:
        for place, model in enumerate(self.models):
            self.skills[place] = scores.skills(model.id)
            self.base_skills[place] = {skill: found for skill, found in sorted(self.skills[place].items()) if ":" not in skill}
            self.overall[place] = scores.overall(model.id)
        for benchmark in benchmarks:
            for model_id, value in scores.on(benchmark).items():
                if (found := self.place.get(model_id)) is not None:
                    self.results[found][benchmark] = value


def senses_of(words: Iterable[str]) -> int:
    """Bits of `SENSES`, by the names of abilities or of what is taken in."""
    return bits(words, _SENSE_BIT)


def bits(words: Iterable[str], bit_of: Mapping[str, int]) -> int:
    """Together in one number; words without a bit are left out."""
    total = 0
    for word in words:
        total |= bit_of.get(word, 0)
    return total
