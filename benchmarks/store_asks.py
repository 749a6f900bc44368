"""What is asked of the store when it is measured: the requests that people and programs make, no two alike where answers are kept."""

import json
import random
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

CAPABILITIES = ("tools", "vision", "reasoning", "structured_output", "prompt_caching", "pdf_input")
PROVIDERS = ("openai", "anthropic", "openrouter", "groq", "deepinfra", "bedrock", "vertex_ai", "mistral", "azure", "together_ai")
WORDS = ("claude", "gpt 4", "llama 70b", "mini", "gemini flash", "qwen", "embedding", "zzzz unheard-of")
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4", "gemini-2.5-pro", "llama-3.3-70b-instruct", "deepseek-r1", "gpt-4.1", "o3")
TASKS = (
    "High-quality long-form summarization in English",
    "Extract names and dates from scanned invoices as JSON, cheap, 20,000 pages a day",
    "Translate product texts from German to Portuguese",
    "An agent that writes Python and calls tools, at most $3 per million tokens",
)


@dataclass(frozen=True, slots=True)
class Ask:
    method: str
    path: str
    body: bytes = b""

    @property
    def raw(self) -> bytes:
        head = f"{self.method} {self.path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {len(self.body)}\r\n"
        return f"{head}content-type: application/json\r\n\r\n".encode() + self.body


def filtered(dice: random.Random) -> Ask:
    """A list with one to four filters, of which there are so many that few are asked twice."""
    asked: dict[str, str] = {"limit": str(dice.choice((10, 24, 50)))}
    for name, value in dice.sample(
        [
            ("capability", ",".join(dice.sample(CAPABILITIES, dice.randint(1, 2)))),
            ("provider", ",".join(dice.sample(PROVIDERS, dice.randint(1, 3)))),
            ("priceRange", f"{dice.uniform(0, 1):.3f}-{dice.uniform(1, 20):.3f}"),
            ("context_min", str(dice.randint(1, 300) * 1000)),
            ("search", dice.choice(WORDS)),
            ("modality", dice.choice(("text", "image", "audio"))),
            ("min_score", f"{dice.uniform(10, 60):.2f}"),
            ("sort", dice.choice(("input", "released", "context", "score", "name"))),
            ("open_weights", dice.choice(("true", "false"))),
        ],
        dice.randint(1, 4),
    ):
        asked[name] = value
    return Ask("GET", f"/catalog/models?{urlencode(asked)}")


def kinds(seed: int) -> Mapping[str, Iterator[Ask]]:
    """Requests without end, by what they ask for."""
    dice = random.Random(seed)

    def forever(make: str) -> Iterator[Ask]:
        while True:
            number = dice.randint(1, 10**9)
            if make == "list":
                yield filtered(dice)
            elif make == "kept":
                yield Ask("GET", f"/catalog/models?capability={dice.choice(CAPABILITIES)}")
            elif make == "model":
                yield Ask("GET", f"/catalog/models/{dice.choice(MODELS)}")
            elif make == "offers":
                yield Ask("GET", f"/api/models?limit=100&offset={dice.randint(0, 5000)}")
            elif make == "match":
                task = {"taskDescription": f"{dice.choice(TASKS)} ({number})", "constraints": {"maxPricePerMillionTokens": 20}}
                yield Ask("POST", "/match", json.dumps(task).encode())
            elif make == "suggestions":
                yield Ask("GET", f"/suggestions/{dice.choice(MODELS)}")
            else:
                prompt = {"prompt": f"{dice.choice(TASKS)}. " * 20 + str(number), "limit": 24}
                yield Ask("POST", "/api/get_best_price_for_prompt", json.dumps(prompt).encode())

    return {
        "`GET /catalog/models`, filtered, never asked before": forever("list"),
        "`GET /catalog/models`, asked before": forever("kept"),
        "`GET /catalog/models/{id}`": forever("model"),
        "`GET /api/models`": forever("offers"),
        "`POST /match`": forever("match"),
        "`GET /suggestions/{id}`": forever("suggestions"),
        "`POST /api/get_best_price_for_prompt`": forever("prompt"),
    }


def enlarge(database: Path, models: int) -> None:
    """Copy models under other ids, with their offers and prices, until there are so many."""
    with sqlite3.connect(database) as opened:
        held = opened.execute("SELECT count(*) FROM model").fetchone()[0]
        opened.execute("CREATE TEMP TABLE chosen AS SELECT id FROM model ORDER BY id LIMIT ?", (max(0, models - held),))
        for table, column, changed in (
            ("model", "id", {"id": "id || '-twin'", "name": "name || ' Twin'"}),
            ("offer", "model_id", {"id": "id || '-twin'", "model_id": "model_id || '-twin'", "upstream_id": "upstream_id || '-twin'"}),
            ("price", "offer_id", {"id": "'t' || id", "offer_id": "offer_id || '-twin'"}),
        ):
            names = [row[1] for row in opened.execute(f"PRAGMA table_info({table})")]
            source = "chosen" if table != "price" else "(SELECT offer.id FROM offer JOIN chosen ON chosen.id = offer.model_id)"
            opened.execute(
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(changed.get(name, name) for name in names)} "
                f"FROM {table} WHERE {column} IN (SELECT id FROM {source})"
            )
    opened.close()
