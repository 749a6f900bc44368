"""Working code for one model, in three languages. `{origin}` becomes the address in the person's browser."""

import json
from typing import Any

from backend.catalog.schemas import ModelDetail
from backend.identity.bootstrap import DEMO_KEY

_YOURS = "sk-…your key…"

_CURL = """curl {origin}/v1/chat/completions \\
  -H "Authorization: Bearer KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": MODEL, "messages": [
    {"role": "user", "content": "Say hello."}]}'"""

_PYTHON = """from openai import OpenAI

bourse = OpenAI(
    base_url="{origin}/v1",
    api_key="KEY",
)
answer = bourse.chat.completions.create(
    model=MODEL,
    messages=[{"role": "user", "content": "Say hello."}],
)
print(answer.choices[0].message.content)"""

_JAVASCRIPT = """import OpenAI from "openai";

const bourse = new OpenAI({
  baseURL: "{origin}/v1",
  apiKey: "KEY",
});
const answer = await bourse.chat.completions.create({
  model: MODEL,
  messages: [{ role: "user", content: "Say hello." }],
});
console.log(answer.choices[0].message.content);"""


def code_samples(detail: ModelDetail, *, production: bool) -> list[dict[str, str]]:
    """[{name, code}] for chat models, empty for the rest. Only development has a demo key to print."""
    if detail.summary.mode != "chat":
        return []
    key = _YOURS if production else DEMO_KEY
    return [
        _sample(name, text, key, detail.summary.id) for name, text in (("curl", _CURL), ("Python", _PYTHON), ("JavaScript", _JAVASCRIPT))
    ]


def curl_sample(model: str, *, demo: bool) -> list[dict[str, str]]:
    """[{name, code}]: a first call from the command line; with the demo key for whoever may see it."""
    return [_sample("curl", _CURL, DEMO_KEY if demo else _YOURS, model)]


def literal(value: Any) -> str:
    """A literal in all three languages. An address that somebody wrote himself stays as it is."""
    return json.dumps(value, ensure_ascii=False).replace("{origin}", "{\\u006frigin}")


def in_quotes(text: str) -> str:
    """What a shell reads as this text between single quotes, where all stands for itself but a quote: that ends them, is written, and
    begins them anew."""
    return text.replace("'", "'\\''")


def _sample(name: str, text: str, key: str, model: str) -> dict[str, str]:
    # Names come from outside: as a literal they are one safe word in all three languages.
    named = in_quotes(literal(model)) if name == "curl" else literal(model)
    return {"name": name, "code": text.replace("KEY", key).replace("MODEL", named)}
