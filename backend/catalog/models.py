"""From records to offers and models: which records speak of one offer, which offers are one model, and who is believed about it.

*Offers*: records of one provider with the same upstream id (whatever its case) are one offer. A record that brings a name pattern prices
every offer of its provider that it matches and that it does not name exactly; it becomes an offer of its own only if it matches none.

*Models*: offers with the same `model_key` (or whose source names the same base model under the same key). A dated snapshot that is the only
one of its base name is that base model; when there are several, each is a model of its own, and so is the undated name. A
`-latest` name is its base name if that names a version.

*Facts*: the maker's own offer is believed first, then sources by rank; a capability is what most offers say when the maker is silent.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from backend.catalog.admission import admitted
from backend.catalog.creators import FIRST_PARTY, creator_of
from backend.catalog.names import bare_name, canonical, model_key, slug, split_date
from backend.catalog.records import OfferRecord


@dataclass(frozen=True, slots=True)
class Testimony:
    """One record with who says it. `exact` as in `Evidence`."""

    source: str
    rank: int
    record: OfferRecord
    exact: bool = True


@dataclass(slots=True)
class OfferDraft:
    provider: str
    upstream_id: str
    testimonies: list[Testimony] = field(default_factory=list)
    model_id: str = ""

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.upstream_id}"

    def stated(self, name: str) -> Any:
        """The first value that a record states, records by rank; None if none does."""
        for testimony in self.testimonies:
            value = getattr(testimony.record, name)
            if value is not None and value != () and value != {}:
                return value
        return None


@dataclass(slots=True)
class ModelDraft:
    id: str
    key: str
    creator: str | None
    offers: list[OfferDraft]


def offers_of(readings: Iterable[tuple[str, int, Iterable[OfferRecord]]]) -> list[OfferDraft]:
    """All offers, from `(source, rank, records)`; testimonies are in order of rank, then source. What cannot be named is left out."""
    drafts: dict[tuple[str, str], OfferDraft] = {}
    by_provider: dict[str, list[OfferDraft]] = defaultdict(list)
    patterns: list[tuple[str, int, OfferRecord]] = []
    for source, rank, records in sorted(readings, key=lambda reading: (-reading[1], reading[0])):
        for stated in records:
            record = admitted(stated)
            if record is None:
                continue
            if record.also_matches is not None:
                patterns.append((source, rank, record))
            else:
                _testify(drafts, by_provider, record, Testimony(source, rank, record))
    named = {(source, record.provider, _spelling(record.upstream_id)) for source, _, record in patterns}
    homeless = []
    for source, rank, record in patterns:
        if (record.provider, _spelling(record.upstream_id)) in drafts:
            _testify(drafts, by_provider, record, Testimony(source, rank, record))
        else:
            homeless.append((source, rank, record))
    taken: set[tuple[str, str, str]] = set()
    for source, rank, record in patterns:
        matches = record.also_matches
        found = False
        for draft in by_provider[record.provider]:
            place = (source, draft.provider, _spelling(draft.upstream_id))
            if place not in named and place not in taken and matches is not None and matches(draft.upstream_id):
                taken.add(place)
                draft.testimonies.append(Testimony(source, min(rank, 10), record, exact=False))
                found = True
        if found and (source, rank, record) in homeless:
            homeless.remove((source, rank, record))
    for source, rank, record in homeless:
        _testify(drafts, by_provider, record, Testimony(source, rank, record))
    for draft in drafts.values():
        draft.testimonies.sort(key=lambda testimony: (-testimony.exact, -testimony.rank, testimony.source))
    return list(drafts.values())


_GEMINI = re.compile(r"^gemini-(pro|flash)-(\d\.\d)")


def _testify(
    drafts: dict[tuple[str, str], OfferDraft], by_provider: dict[str, list[OfferDraft]], record: OfferRecord, testimony: Testimony
) -> None:
    place = (record.provider, _spelling(record.upstream_id))
    draft = drafts.get(place)
    if draft is None:
        draft = drafts[place] = OfferDraft(record.provider, record.upstream_id)
        by_provider[record.provider].append(draft)
    draft.testimonies.append(testimony)


def _spelling(upstream_id: str) -> str:
    return canonical(upstream_id)


def models_of(offers: Iterable[OfferDraft], known: dict[str, str]) -> list[ModelDraft]:
    """Group offers into models and set each offer's `model_id`.

    Args:
        known: offer id → model id of what the store holds already; a model keeps its id whatever its sources come to call it.
    """
    groups: dict[str, list[OfferDraft]] = defaultdict(list)
    for offer in offers:
        groups[key_of(offer)].append(offer)
    snapshots: dict[str, set[str]] = defaultdict(set)
    for key in groups:
        base, day = split_date(key)
        if day is not None:
            snapshots[base].add(key)
    for base, keys in snapshots.items():
        if len(keys) == 1:
            groups[base].extend(groups.pop(keys.pop()))
    for key in [key for key in groups if key.endswith("-latest")]:
        # A moving pointer means its base name when that names a version; `mistral-small-latest` is a promise of its own.
        base = key.removesuffix("-latest")
        if base in groups and any(c.isdigit() for c in base):
            # A tilde marks OpenRouter's own pointers, which move from version to version.
            groups[base] += [offer for offer in groups[key] if "~" not in offer.upstream_id]
            groups[key] = [offer for offer in groups[key] if "~" in offer.upstream_id]
    models: list[ModelDraft] = []
    used: dict[str, str] = {}
    for key in sorted(key for key, offers_of_key in groups.items() if offers_of_key):
        members = sorted(groups[key], key=lambda offer: offer.id)
        creator = _creator(key, members)
        model_id = _model_id(key, members, creator, known, used)
        used[model_id] = key
        for offer in members:
            offer.model_id = model_id
        models.append(ModelDraft(model_id, key, creator, members))
    return models


def key_of(offer: OfferDraft) -> str:
    """The key of the offer's model; a stated base model that differs only by date or seller's decoration is believed."""
    key = model_key(offer.upstream_id, offer.provider)
    base = offer.stated("base_model")
    if base is not None:
        base_key = model_key(base, offer.provider)
        if base_key.replace("-", "") == key.replace("-", "") or offer.provider == "sandbox":
            return base_key
    return key


def _creator(key: str, members: list[OfferDraft]) -> str | None:
    stated = next((creator for offer in members if (creator := offer.stated("creator"))), None)
    if stated:
        return str(stated)
    votes = Counter(creator for offer in members if (creator := creator_of(offer.upstream_id, key, offer.provider)))
    return min(votes, key=lambda creator: (-votes[creator], creator)) if votes else None


def is_first_party(offer: OfferDraft, creator: str | None) -> bool:
    return creator is not None and FIRST_PARTY.get(offer.provider) == creator


def _model_id(key: str, members: list[OfferDraft], creator: str | None, known: dict[str, str], used: dict[str, str]) -> str:
    held = Counter(known[offer.id] for offer in members if offer.id in known)
    for model_id in sorted(held, key=lambda model_id: (-held[model_id], model_id)):
        if model_id not in used:
            return model_id
    votes: Counter[str] = Counter()
    for offer in members:
        spelled = offer.stated("base_model") if offer.provider == "sandbox" else bare_name(offer.upstream_id)
        try:
            text = slug(str(spelled))
        except ValueError:
            continue
        if model_key(text).replace("-", "") != key.replace("-", ""):
            text = split_slug_date(text, key)
        text = _GEMINI.sub(r"gemini-\2-\1", text)
        votes[text] += 5 if is_first_party(offer, creator) else 1
    if not votes:
        votes[slug(key)] += 1
    if all(offer.stated("base_model") is None and split_date(model_key(offer.upstream_id))[0] != split_date(key)[0] for offer in members):
        # The name says nothing without its seller (see `model_key`), so the seller is part of the id.
        votes = Counter({slug(f"{members[0].provider}-{bare_name(members[0].upstream_id)}"): 1})
    best = sorted(votes, key=lambda text: (-votes[text], "." not in text, len(text), text))[0]
    if best in used:
        best = slug(f"{members[0].provider}-{best}")
    while best in used:
        best = f"{best}-x"
    return best


def split_slug_date(text: str, key: str) -> str:
    """The slug without its snapshot date, if the key has none."""
    if split_date(key)[1] is not None:
        return text
    return split_date(text)[0]


def testimonies_by_trust(model: ModelDraft) -> Iterator[tuple[OfferDraft, Testimony]]:
    """Exact records about the model: the maker's own offers first, then by rank of the source."""
    pairs = [(offer, testimony) for offer in model.offers for testimony in offer.testimonies if testimony.exact]
    pairs.sort(key=lambda pair: (not is_first_party(pair[0], model.creator), -pair[1].rank, pair[0].id))
    yield from pairs
