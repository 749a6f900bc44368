"""The code of what the playground does: one call with the chosen parameters, in three languages. A key is never in it."""

import json
from typing import Any

from state.playground_address import Trial
from state.samples import in_quotes, literal

_SAY = "Say hello."


def trial_samples(trial: Trial, prompt: str = "", system: str = "") -> list[dict[str, str]]:
    """[{name, code}] for the first model, with `{origin}` where the address of this installation stands; nothing without a model."""
    if not trial.models:
        return []
    fields: dict[str, Any] = {"model": trial.models[0], "messages": _messages(prompt or _SAY, system)}
    fields |= {} if trial.temperature is None else {"temperature": trial.temperature}
    fields |= {} if trial.max_tokens is None else {"max_tokens": trial.max_tokens}
    return [{"name": name, "code": write(fields)} for name, write in (("curl", _curl), ("Python", _python), ("JavaScript", _javascript))]


def _messages(prompt: str, system: str) -> list[dict[str, str]]:
    first = [{"role": "system", "content": system}] if system.strip() else []
    return [*first, {"role": "user", "content": prompt}]


def _curl(fields: dict[str, Any]) -> str:
    lines = [f"    {json.dumps(name)}: {_literal(value, 4)}" for name, value in {**fields, "stream": True}.items()]
    body = in_quotes("{\n" + ",\n".join(lines) + "\n  }")
    return f"""curl -N {{origin}}/v1/chat/completions \\
  -H "Authorization: Bearer $BOURSE_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{body}'"""


def _python(fields: dict[str, Any]) -> str:
    arguments = "".join(f"    {name}={_literal(value, 4)},\n" for name, value in fields.items())
    return f"""import os

from openai import OpenAI

bourse = OpenAI(base_url="{{origin}}/v1", api_key=os.environ["BOURSE_API_KEY"])
stream = bourse.chat.completions.create(
{arguments}    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="")"""


def _javascript(fields: dict[str, Any]) -> str:
    arguments = "".join(f"  {name}: {_literal(value, 2)},\n" for name, value in fields.items())
    return f"""import OpenAI from "openai";

const bourse = new OpenAI({{ baseURL: "{{origin}}/v1", apiKey: process.env.BOURSE_API_KEY }});
const stream = await bourse.chat.completions.create({{
{arguments}  stream: true,
}});
for await (const chunk of stream) {{
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}}"""


def _literal(value: Any, indent: int) -> str:
    """A message to a line."""
    if isinstance(value, list):
        lines = "".join(f"{' ' * (indent + 2)}{literal(one)},\n" for one in value).rstrip(",\n")
        return f"[\n{lines}\n{' ' * indent}]"
    return literal(value)
