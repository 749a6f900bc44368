"""The address of the page that prices a prompt: how it is asked, never the prompt itself; and back. Pure; both ways round agree.

`?task=code&output=800&needs=image,tools&tiers=batch&sort=value&calls=1000&rows=50&cut=llama-4-maverick&example=code`.
What is not understood is left out.
"""

from dataclasses import dataclass

from backend.prompt_prices.schemas import MOST_ROWS, PromptToPrice, Task, Tier
from state.address import fields_of, query_string, whole_number
from state.compare_address import MOST_TOKENS

MOST_NAME = 255
MOST_SIGNS = 90_000
"""Of a prompt on the page; the API takes more."""
ROWS = (10, 25, 50)
CALLS = (1, 1000)
SORTS = ("total", "value")

TASKS: dict[Task, str] = {
    "answer": "An answer",
    "classify": "A label",
    "extract": "Facts drawn out",
    "summarise": "A summary",
    "rewrite": "The text rewritten",
    "translate": "A translation",
    "code": "Code",
    "essay": "An essay",
}
"""What the prompt asks for, which says how long the answer is taken to be."""

NEEDS: dict[str, str] = {
    "image": "take images",
    "pdf": "take PDF",
    "tools": "call tools",
    "structured_output": "answer in JSON by a schema",
    "reasoning": "reason",
}
"""What models can be asked to do: modalities taken in, and capabilities."""
_MODALITIES = frozenset({"image", "pdf"})

TIERS: dict[Tier, str] = {"batch": "Also batch prices", "flex": "Also flex prices"}

EXAMPLES: dict[str, tuple[str, str]] = {
    "question": ("A question", "Explain quantum computing to somebody who has only ever met classical computers."),
    "code": (
        "Code",
        "Find the bug and fix it:\n\ndef median(values: list[float]) -> float:\n    ordered = sorted(values)\n"
        "    middle = len(ordered) // 2\n    if len(ordered) % 2:\n        return ordered[middle]\n"
        "    return (ordered[middle] + ordered[middle + 1]) / 2\n\nassert median([3, 1, 2, 4]) == 2.5\n",
    ),
    "german": (
        "German",
        "Fasse den folgenden Vertrag in fünf Sätzen zusammen und nenne alle Kündigungsfristen: „Das Arbeitsverhältnis kann von beiden "
        "Vertragsparteien unter Einhaltung der gesetzlichen Kündigungsfrist gekündigt werden. Während der Probezeit von sechs Monaten "
        "beträgt die Kündigungsfrist zwei Wochen.“",
    ),
    "japanese": ("Japanese", "次の文章を英語に翻訳してください。吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"),
    "numbers": (
        "A table",
        "Which quarter grew most?\n\nquarter,revenue,orders\n2025Q1,1284502.17,48211\n2025Q2,1391077.42,50934\n2025Q3,1377210.88,51102\n",
    ),
}
"""Prompts to begin with: a label and the text. Only they may be named by an address."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a prompt is priced. `output` is None where the task says how long the answer is; `cut` is the model whose tokens light up."""

    task: Task = "answer"
    output: int | None = None
    needs: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    sort: str = "total"
    calls: int = 1
    rows: int = 10
    cut: str = ""
    example: str = ""

    def question(self, text: str) -> PromptToPrice:
        """The same for the service, of all models: page and order are made of the whole answer."""
        return PromptToPrice(
            prompt=text,
            output_tokens=self.output,
            task=self.task,
            tiers=[tier for tier in TIERS if tier in self.tiers],
            modality=sorted(self.needs & _MODALITIES),
            capability=sorted(self.needs - _MODALITIES),
            limit=MOST_ROWS,
        )

    def body(self, text: str) -> dict[str, object]:
        """What to send to the API for the same rows."""
        standard = PromptToPrice(prompt=text)
        fields = self.question(text).model_copy(update={"limit": self.rows}).model_dump()
        return {name: value for name, value in fields.items() if name in ("prompt", "limit") or value != getattr(standard, name)}


def read_asked(query: str) -> Asked:
    """The query string with or without its question mark."""
    return _read(fields_of(query))


def write_asked(asked: Asked) -> str:
    """The query string with its question mark; empty when everything is as it comes."""
    standard = _fields(Asked())
    return query_string({name: value for name, value in _fields(asked).items() if value != standard[name]})


def with_choice(asked: Asked, what: str, value: str) -> Asked:
    """One thing chosen otherwise, by its name in the address; what is not understood is as it comes."""
    return _read({**_fields(asked), what: value})


def with_tick(asked: Asked, what: str, value: str) -> Asked:
    """One of `needs` or `tiers` more, or less."""
    ticked = {"needs": asked.needs, "tiers": asked.tiers}.get(what, frozenset())
    return with_choice(asked, what, ",".join(ticked ^ {value}))


def _fields(asked: Asked) -> dict[str, str]:
    return {
        "task": asked.task,
        "output": "" if asked.output is None else str(asked.output),
        "needs": ",".join(sorted(asked.needs)),
        "tiers": ",".join(sorted(asked.tiers)),
        "sort": asked.sort,
        "calls": str(asked.calls),
        "rows": str(asked.rows),
        "cut": asked.cut,
        "example": asked.example,
    }


def _read(fields: dict[str, str]) -> Asked:
    task, example = fields.get("task", ""), fields.get("example", "")
    return Asked(
        task=task if task in TASKS else "answer",
        output=whole_number(fields.get("output", ""), MOST_TOKENS),
        needs=frozenset(fields.get("needs", "").split(",")) & NEEDS.keys(),
        tiers=frozenset(fields.get("tiers", "").split(",")) & TIERS.keys(),
        sort=fields.get("sort", "") if fields.get("sort") in SORTS else "total",
        calls=_one_of(fields.get("calls", ""), CALLS),
        rows=_one_of(fields.get("rows", ""), ROWS),
        cut=fields.get("cut", "").strip()[:MOST_NAME],
        example=example if example in EXAMPLES else "",
    )


def _one_of(text: str, values: tuple[int, ...]) -> int:
    return next((value for value in values if text == str(value)), values[0])
