"""Families of models as far as counting tokens goes: whose tokenizer, how much a chat template adds, what images cost at most.

Sources are the providers' own pages on counting tokens and on vision. Numbers that a provider does not publish are rounded up.
"""

from dataclasses import dataclass
from typing import Literal

ImageRule = Literal["tiles", "patches", "area", "any"]


@dataclass(frozen=True, slots=True)
class Images:
    """`most` is what no image exceeds, tokens. Tiles: `base` plus `each` per 512-px tile. Patches: 32-px patches times `each`, in percent.
    Area: a token for each `each` pixels."""

    rule: ImageRule
    most: int
    base: int = 0
    each: int = 0


_ANY_IMAGE = Images("any", 20_000)


@dataclass(frozen=True, slots=True)
class Family:
    """`encoding` is one that ships; where it is not the model's own, counts with it are multiplied by `percent`/100, which is a margin
    from experience and not a proof. None: nothing that ships comes near, only the bound in bytes is used."""

    name: str
    encoding: str | None = None
    percent: int = 100
    per_message: int = 8
    per_call: int = 160
    """Begin marks, and the system texts that some templates add by themselves."""
    per_tool: int = 16
    with_tools: int = 700
    """The instructions that a provider adds as soon as there is one tool or schema."""
    normalizes: bool = True
    """The tokenizer may first bring the text into Unicode's NFKC form, which can be longer."""
    images: Images = _ANY_IMAGE
    sound: float = 10
    """Tokens of a second that is heard, mostly."""


def _openai(name: str, encoding: str, images: Images, per_call: int = 160) -> Family:
    return Family(name, encoding, per_message=4, per_call=per_call, with_tools=128, normalizes=False, images=images)


def _tiles(base: int, each: int) -> Images:
    return Images("tiles", base + 8 * each, base, each)


_GPT4O = _tiles(85, 170)

# The first prefix of the model's own id that fits.
_PREFIXES: tuple[tuple[str, Family], ...] = (
    ("gpt-4o-mini", _openai("gpt-4o-mini", "o200k_base", _tiles(2833, 5667), 16)),
    ("gpt-4o", _openai("gpt-4o", "o200k_base", _GPT4O, 16)),
    ("chatgpt-4o", _openai("gpt-4o", "o200k_base", _GPT4O)),
    ("gpt-4.1-mini", _openai("gpt-4.1-mini", "o200k_base", Images("patches", 2489, each=162), 16)),
    ("gpt-4.1-nano", _openai("gpt-4.1-nano", "o200k_base", Images("patches", 3779, each=246), 16)),
    ("gpt-4.1", _openai("gpt-4.1", "o200k_base", _GPT4O, 16)),
    ("gpt-4.5", _openai("gpt-4.5", "o200k_base", _GPT4O)),
    ("gpt-5", _openai("gpt-5", "o200k_base", _ANY_IMAGE)),
    ("gpt-oss", _openai("gpt-oss", "o200k_base", _ANY_IMAGE)),
    ("o4-mini", _openai("o4-mini", "o200k_base", Images("patches", 2642, each=172))),
    ("o1", _openai("o1", "o200k_base", _tiles(75, 150))),
    ("o3", _openai("o3", "o200k_base", _tiles(75, 150))),
    ("gpt-4", _openai("gpt-4", "cl100k_base", _GPT4O, 16)),
    ("gpt-3.5", _openai("gpt-3.5", "cl100k_base", _GPT4O, 16)),
    ("text-embedding", _openai("embedding", "cl100k_base", _ANY_IMAGE, 8)),
    ("text-davinci", _openai("davinci", "p50k_base", _ANY_IMAGE, 8)),
    ("davinci-002", _openai("davinci-002", "cl100k_base", _ANY_IMAGE, 8)),
    ("babbage-002", _openai("babbage-002", "cl100k_base", _ANY_IMAGE, 8)),
    ("claude", Family("claude", "o200k_base", 200, images=Images("area", 5000, each=750))),
    ("gemini", Family("gemini", "o200k_base", 150, sound=32)),
    ("gemma", Family("gemma", "o200k_base", 150)),
    ("llama", Family("llama", "cl100k_base", 150)),
    ("meta-llama", Family("llama", "cl100k_base", 150)),
    ("qwen", Family("qwen", "cl100k_base", 150, sound=25)),
    ("deepseek", Family("deepseek", "cl100k_base", 150)),
    ("mistral", Family("mistral", "cl100k_base", 200)),
    ("mixtral", Family("mistral", "cl100k_base", 200)),
    ("ministral", Family("mistral", "cl100k_base", 200)),
    ("codestral", Family("mistral", "cl100k_base", 200)),
    ("grok", Family("grok", "o200k_base", 150)),
    ("command", Family("command", "o200k_base", 200)),
)
UNKNOWN = Family("unknown")
SANDBOX = Family("sandbox", per_message=0, per_call=0, per_tool=0, with_tools=0, normalizes=False, images=Images("any", 0))

_known: dict[str, Family] = {}
_MOST_KNOWN = 10_000


def family_of(model: str, provider: str = "") -> Family:
    """The family of a model by its id, such as `gpt-4o-mini`, `openai/gpt-4o` or `anthropic.claude-3-haiku`."""
    name = f"{provider}/{model}"
    family = _known.get(name)
    if family is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        family = _known[name] = _family(model, provider)
    return family


def _family(model: str, provider: str) -> Family:
    if provider == "sandbox" or model.startswith("sandbox/"):
        return SANDBOX
    own = model.lower().rpartition("/")[2]
    # Some clouds put the maker (and a region) in front: `us.anthropic.claude-…`, `meta.llama3-…`; tuned models say `ft:`.
    after_dots = [own[at + 1 :] for at, sign in enumerate(own) if sign == "." and own[at + 1 : at + 2].isalpha()]
    for candidate in (own.removeprefix("ft:"), *after_dots):
        for prefix, family in _PREFIXES:
            if candidate.startswith(prefix):
                return family
    return UNKNOWN
