"""The playground's address: which models are asked, and with which numbers. What a person writes stays out of it: an address is kept by
the browser's history, by logs and by whoever is sent the link.

`?models=sandbox/chat,openai/gpt-4.1&temperature=0.2&max_tokens=400`. Anything that is not understood is left out.
"""

from dataclasses import dataclass

from backend.playground.service import MOST_MODELS
from state.address import query_string, values_of, whole_number

MOST_TOKENS = 200_000
HOTTEST = 2.0
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Trial:
    """`temperature` and `max_tokens` None: as each provider does by itself."""

    models: tuple[str, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None


def read_trial(query: str) -> Trial:
    """The trial that a query string asks for."""
    given = values_of(query)
    names = [name.strip() for text in given.get("models", ()) for name in text.split(",")]
    models = [name for name in dict.fromkeys(names) if 0 < len(name) <= _MAX_NAME and name.isprintable()]
    return Trial(
        tuple(models[:MOST_MODELS]),
        temperature_of(given.get("temperature", [""])[-1]),
        tokens_of(given.get("max_tokens", [""])[-1]),
    )


def write_trial(trial: Trial) -> str:
    """Its query string, `?` included; empty for none."""
    return query_string(
        {
            "models": ",".join(trial.models),
            "temperature": "" if trial.temperature is None else f"{trial.temperature:g}",
            "max_tokens": "" if trial.max_tokens is None else str(trial.max_tokens),
        }
    )


def temperature_of(text: str) -> float | None:
    """A number from 0 to 2 with at most two places; None for anything else."""
    try:
        value = round(float(text.replace(",", ".")), 2)
    except ValueError:
        return None
    return value if 0 <= value <= HOTTEST else None


def tokens_of(text: str) -> int | None:
    """A whole number from 1 to 200,000; None for anything else."""
    return whole_number(text, MOST_TOKENS) or None
