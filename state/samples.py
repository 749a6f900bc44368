"""Working code for one model, in three languages. `{origin}` becomes the address in the person's browser."""

import json

from backend.catalog.schemas import ModelDetail

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
    key = "sk-…your key…" if production else "sk-demo.my-secret"
    # Catalog names come from outside: as JSON they are one safe literal in all three languages, and a quote cannot leave the shell's.
    model = json.dumps(detail.summary.id).replace("'", "")
    return [
        {"name": name, "code": text.replace("KEY", key).replace("MODEL", model)}
        for name, text in (("curl", _CURL), ("Python", _PYTHON), ("JavaScript", _JAVASCRIPT))
    ]


def curl_sample(model: str, *, demo: bool) -> list[dict[str, str]]:
    """[{name, code}]: a first call from the command line; with the demo key for whoever may see it."""
    key = "sk-demo.my-secret" if demo else "sk-…your key…"
    return [{"name": "curl", "code": _CURL.replace("KEY", key).replace("MODEL", json.dumps(model))}]
