"""One plain sentence that says what the store shows: "187 models take images, call tools and cost at most $1 per million tokens in"."""

from collections.abc import Callable, Sequence

from backend.catalog.languages import language_name
from backend.catalog.schemas import StoreQuery
from backend.catalog.taxonomy import CAPABILITIES, MODALITIES, STATUSES
from backend.kernel.money import format_usd
from backend.pricing.tiers import compact_count

_CAN = {
    "tools": "call tools",
    "parallel_tools": "call tools in parallel",
    "vision": "see images",
    "reasoning": "reason",
    "structured_output": "return structured output",
    "prompt_caching": "cache prompts",
    "web_search": "search the web",
    "computer_use": "use a computer",
    "pdf_input": "read PDF",
    "audio_input": "hear audio",
    "audio_output": "speak",
    "video_input": "watch video",
    "url_context": "read URLs",
    "system_messages": "follow system messages",
    "assistant_prefill": "continue a given answer",
    "temperature": "let you set the temperature",
}
_KIND = {
    "chat": "chat models",
    "completion": "completion models",
    "embedding": "embedding models",
    "rerank": "rerankers",
    "image_generation": "image generators",
    "image_edit": "image editors",
    "video_generation": "video generators",
    "audio_transcription": "speech-to-text models",
    "audio_speech": "text-to-speech models",
    "realtime": "realtime voice models",
    "moderation": "moderation models",
    "ocr": "document readers",
    "search": "search engines",
    "evaluation": "graders",
    "extraction": "extractors",
    "guardrail": "guardrails",
    "vector_store": "vector stores",
}


def headline(query: StoreQuery, total: int, provider_name: Callable[[str], str], providers: int, measure: str = "") -> str:
    """The sentence, without a full stop. `providers`: how many sell the models that are left; `measure`: the benchmark's name."""
    adjectives = [STATUSES.get(word, word).lower() for word in sorted(query.statuses)]
    kinds = _or([_KIND.get(mode, mode) for mode in sorted(query.modes)]) if query.modes else "models"
    if query.open_weights is not None:
        adjectives.append("open-weight" if query.open_weights else "closed")
    said = _claims(query, provider_name) + _measured(query, measure)
    number = "No" if total == 0 else f"{total:,}"
    subject = " ".join([number, *([_or(adjectives[:-1] or adjectives)] if len(adjectives) > 1 else []), *adjectives[-1:], kinds])
    if len(adjectives) > 1 and query.open_weights is None:
        subject = " ".join([number, _or(adjectives), kinds])
    if total == 1:
        subject = _singular_noun(subject)
        said = [_singular_verb(claim) for claim in said]
    if not said:
        return f"{subject} from {providers:,} {'provider' if providers == 1 else 'providers'}"
    return f"{subject} {_and(said)}"


def _claims(query: StoreQuery, provider_name: Callable[[str], str]) -> list[str]:
    said: list[str] = []
    if query.search.strip():
        text = query.search.strip()
        said.append(f"match “{text[:40]}{'…' if len(text) > 40 else ''}”")
    if query.modalities_in:
        said.append(f"take {_and([MODALITIES.get(word, word).lower().replace('pdf', 'PDF') for word in sorted(query.modalities_in)])}")
    if query.modalities_out:
        said.append(f"give {_and([MODALITIES.get(word, word).lower() for word in sorted(query.modalities_out)])}")
    said += [_CAN.get(word, f"support {CAPABILITIES.get(word, word).lower()}") for word in sorted(query.capabilities)]
    if query.providers:
        names = sorted(provider_name(word) for word in query.providers)
        said.append(f"are sold by {_or(names) if len(names) <= 3 else f'one of {len(names)} providers'}")
    if prices := _price("in", query.input_min, query.input_max) + _price("out", query.output_min, query.output_max):
        said.append(f"cost {' and '.join(prices)}")
    if query.context_min is not None:
        said.append(f"hold at least {compact_count(query.context_min)} tokens")
    if query.languages:
        said.append(f"speak {_and(sorted(language_name(tag) for tag in query.languages))}")
    return said


def _measured(query: StoreQuery, measure: str) -> list[str]:
    where = f"on {measure or query.benchmark}" if query.benchmark else "overall"
    if query.min_score is not None:
        return [f"score at least {query.min_score:g} {where}"]
    return [f"were measured {where}"] if query.benchmark else []


def _price(direction: str, low: int | None, high: int | None) -> list[str]:
    if low is None and high is None:
        return []
    if low is not None and high is not None:
        amount = f"{_usd(low)} to {_usd(high)}"
    else:
        amount = f"at most {_usd(high)}" if high is not None else f"at least {_usd(low or 0)}"
    return [f"{amount} per million tokens {direction}"]


def _usd(nano: int) -> str:
    return format_usd(nano).removesuffix(".00")


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _singular_noun(subject: str) -> str:
    return " or ".join(part[:-1] if part.endswith("s") else part for part in subject.split(" or "))


def _singular_verb(claim: str) -> str:
    verb, _, rest = claim.partition(" ")
    verb = {"are": "is", "were": "was"}[verb] if verb in ("are", "were") else f"{verb}es" if verb.endswith(("ch", "sh")) else f"{verb}s"
    return f"{verb} {rest}".rstrip()
