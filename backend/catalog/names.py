"""One canonical form of every name, and the model behind what a provider calls it.

Two names are the same name when `canonical` agrees. Two upstream ids mean the same model when `model_key` agrees. The stated rules of
`model_key`:

- who sells or made it is not part of a model's name (`openrouter/anthropic/claude-x`, `us.anthropic.claude-x-v1:0`, `azure/claude-x`);
- how it is packed is not either: Bedrock's `-v1:0`, Vertex's `-maas` and `@default`, quantisation (`-fp8`, `-awq`), a seller's routing
  suffix (`:free`, `:nitro`);
- spelling is not: case, `.`/`-`/`_`, `llama3` for `llama-3`, `qwen2p5` for `qwen-2.5`, `claude-4-sonnet` for `claude-sonnet-4`,
  `gemini-pro-1.5` for `gemini-1.5-pro`;
- size, version, effort and thinking words, instruct/base, `-turbo`, `-mini` and dates **are**: they price and behave differently. (The
  one exception, dated snapshots that stand alone, needs the whole catalog and is made in `backend.catalog.models`.)
"""

import re
import unicodedata

MAX_NAME = 255

_GEO = re.compile(r"^(?:regional|us-gov|us|eu|au|jp|apac|global|ca|sa|me|af|uk|in)\.(?=[a-z0-9-]+\.)", re.IGNORECASE)
_BEDROCK_MAKER = re.compile(
    r"^(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen|stability|twelvelabs|writer|luma|nvidia|google|minimax|moonshot"
    r"|moonshotai|zai|xai|system\.ai|databricks)\.(?=[a-z])",
    re.IGNORECASE,
)
_BEDROCK_VERSION = re.compile(r"(?<!claude-v\d)(?<!claude)(?:-v?\d+)?:\d+(?::\w+)?$")
_HOSTED_BY = re.compile(r"(?<=[\w.-]):(?:cerebras|fireworks-ai|groq|hyperbolic|nebius|novita|nscale|ovhcloud|publicai|sambanova|together)$")
_ROUTING = re.compile(r":(?:free|nitro|floor|exacto|beta|extended|online|cloud)$", re.IGNORECASE)
_PACKING = re.compile(
    r"(?:@default|@latest|-maas|[-_](?:fp8|fp4|nvfp4|mxfp4|mxfp|bf16|fp16|int4|int8|awq|gptq|gguf|fp8-dynamic|w4a16|q4|mlx))+$",
    re.IGNORECASE,
)
_FIREWORKS_POINT = re.compile(r"(?<=\d)p(?=\d)")
_CLAUDE = re.compile(r"^claude-(\d(?:-\d{1,2})?)-(opus|sonnet|haiku|fable|mythos)\b")
_PLACES = frozenset({
    "accounts", "fireworks", "models", "endpoints", "ranking", "fal-ai", "global", "global-standard", "us", "eu", "ps", "tee", "pro", "hf",
    "bedrock", "azure", "vertex_ai", "openrouter", "google-ai-studio", "workers-ai", "mistral-ai", "aws", "gcp",
})  # fmt: skip
"""Segments of an upstream id that say where it runs or who sells it."""
_REGION = re.compile(r"^(?:[a-z]{2}(?:-gov)?-[a-z]+-\d|\*|@\w+)$")
_MAKER_SEGMENTS = frozenset({
    "openai", "anthropic", "google", "meta", "meta-llama", "mistral", "mistralai", "deepseek", "deepseek-ai", "qwen", "alibaba",
    "xai", "x-ai",
    "moonshotai", "zai", "z-ai", "zai-org", "minimax", "minimaxai", "cohere", "amazon", "microsoft", "nvidia", "bytedance", "perplexity",
    "stabilityai", "black-forest-labs", "kling-video", "luma", "xiaomi", "tencent", "inclusionai", "nousresearch",
})  # fmt: skip
_TASKS = re.compile(
    r"^(?:edit|text-to-\w+|image-to-\w+|reference-to-\w+|video-to-\w+|fast|pro|standard|turbo|ultra|dev|schnell|lite|max|v\d.*|lora|\w+2\w)$"
)
_GENERIC = frozenset({
    "search", "chat", "english", "multilingual", "nano", "best", "generative", "neural", "standard", "long-form", "auto", "parse",
    "compress",
    "classify", "summarize", "completion", "embed", "default", "free", "router", "model-router", "search-advanced", "search-deep",
    "search-fast",
    "search-pro", "search-turbo", "deep-search", "image", "video", "audio", "speech", "text", "base", "small", "medium", "large",
    "guardrails",
    "structure", "erase", "inpaint", "outpaint", "upscale", "fast", "conservative", "creative", "style", "sketch", "typed-decisions",
    "starttranscriptionjob", "nimble", "nimble-latest", "dolphin", "chatdolphin", "enhanced", "parse-legacy", "parse-v-3",
    "coding", "premium",
    "enhanced-general", "base-general", "pro", "max", "mini", "turbo", "lite", "flash", "ultra",
})  # fmt: skip
"""Names that say nothing without the seller: the model of `tavily/search` is not the model of `serper/search`."""
_CLAUDE_ZERO = re.compile(r"^(claude-(?:opus|sonnet)-4)-0$")
_GEMINI = re.compile(r"^gemini-(pro|flash|ultra)-(\d-\d)\b")
_MAKER_PREFIXES = re.compile(
    r"^(?:meta-(?=llama)|databricks-|azure-(?=gpt|o\d)|openai-(?=gpt|o\d)|anthropic-(?=claude)|google-(?=gemini|gemma)|cohere-(?=command|embed|rerank)"
    r"|nvidia-(?=nemotron|llama)|deepseek-ai-|fw-|coding-(?=[a-z]+-?\d))"
)


_INVISIBLE = frozenset({"Cf", "Cc", "Cs", "Co", "Cn"})


def canonical(name: str) -> str:
    """The one form of a name: NFKC, case-folded, no control or invisible characters, single spaces, at most 255 characters.

    Raises:
        ValueError: if nothing is left, it is too long, or it holds a NUL.
    """
    if "\x00" in name:
        raise ValueError("a name cannot hold a NUL character")
    text = " ".join(name.lower().split()) if name.isascii() and name.isprintable() else _canonical_unicode(name)
    if not text:
        raise ValueError("a name cannot be empty")
    if len(text) > MAX_NAME:
        raise ValueError(f"a name cannot be longer than {MAX_NAME} characters")
    return text


def _canonical_unicode(name: str) -> str:
    # Folding case can undo a normal form and the other way round, so it goes on until nothing changes; a few rounds are enough.
    previous, text = None, name
    while previous != text:
        previous = text
        text = unicodedata.normalize("NFKC", text).casefold()
        text = "".join(c for c in text if unicodedata.category(c) not in _INVISIBLE or c in "\t\n ")
        text = unicodedata.normalize("NFKC", " ".join(text.split()))
    return text


def fold(text: str) -> str:
    """For searching only: canonical without the errors, and without accents ("Qwén" finds "qwen")."""
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c) and c.isprintable()).split())


def slug(text: str) -> str:
    """A model's id: lower case letters, digits, `.` and single `-`; never empty, never a slash.

    Raises:
        ValueError: if the text has no letter or digit of the Latin alphabet.
    """
    ascii_text = fold(text).encode("ascii", "ignore").decode()
    result = re.sub(r"[^a-z0-9.]+", "-", ascii_text)
    result = re.sub(r"-*\.[.-]*(?!\d)|(?<!\d)\.-*", "-", result)
    result = re.sub(r"-{2,}", "-", result).strip("-.")
    if not result:
        raise ValueError(f"no slug can be made of {text!r}")
    return result[:200]


def bare_name(upstream_id: str) -> str:
    """The model's own name inside an upstream id, in the provider's spelling: see the rules at the top."""
    name = upstream_id.strip()
    if name.startswith("ft:"):
        return name
    name = _HOSTED_BY.sub("", name)
    name = _name_segments(name)
    name = _GEO.sub("", name)
    made = _BEDROCK_MAKER.match(name)
    if made is not None:
        rest = name[made.end() :]
        # `deepseek.r1` is nothing without its maker, `meta.llama3` is.
        name = rest if len(_BEDROCK_VERSION.sub("", rest)) > 3 else f"{made.group()[:-1]}-{rest}"
    name = _ROUTING.sub("", name)
    name = _BEDROCK_VERSION.sub("", name)
    name = _PACKING.sub("", name)
    return name.replace("@", "-").replace(":", "-").strip("-_. ") or upstream_id


def _name_segments(upstream_id: str) -> str:
    """What names the model in a path: not the places, not the maker, but the task that some sellers put last."""
    segments = [part for part in upstream_id.split("/") if part]
    while len(segments) > 1 and (segments[0].lower() in _PLACES or _REGION.match(segments[0].lower())):
        segments.pop(0)
    if len(segments) > 1 and segments[0].lower() in _MAKER_SEGMENTS:
        segments.pop(0)
    if len(segments) == 2 and not _TASKS.match(segments[1].lower()):
        segments.pop(0)
    return "-".join(segments) or upstream_id


def model_key(upstream_id: str, provider: str = "") -> str:
    """What two upstream ids of one model have in common; compare keys, never show them.

    `provider` becomes part of the key where the name alone says nothing (`search`).
    """
    text = fold(bare_name(upstream_id))
    text = _FIREWORKS_POINT.sub(".", text)
    text = re.sub(r"[^a-z0-9]+", "-", text).strip("-")
    previous = None
    while previous != text:
        previous, text = text, _MAKER_PREFIXES.sub("", text)
    text = re.sub(r"(?<=llama)-?v(?=\d)", "-", text)
    text = re.sub(r"\bgpt-?35\b", "gpt-3-5", text)
    text = "-".join(re.findall(r"[a-z]+|\d+", text)) or "unnamed"
    if text in _GENERIC and provider:
        text = "-".join(re.findall(r"[a-z]+|\d+", f"{provider} {text}"))
    text = _GEMINI.sub(r"gemini-\2-\1", _CLAUDE.sub(r"claude-\2-\1", text))
    return _CLAUDE_ZERO.sub(r"\1", text)


_DATE = re.compile(r"-(20\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])$")


def split_date(key: str) -> tuple[str, str | None]:
    """A key without its snapshot date, and the date as YYYY-MM-DD: `gpt-4-o-2024-08-06` → (`gpt-4-o`, `2024-08-06`)."""
    match = _DATE.search(key)
    if match is None or match.start() == 0:
        return key, None
    return key[: match.start()], "-".join(match.groups())
