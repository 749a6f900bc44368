"""The matching page's address is its state: a query string for what is asked, and back. Pure; both ways round agree.

`?step=answer&task=summarise+long+reports&price=20&context=128000&needs=image,tools&open=yes&here=yes&first=cost&input=4000&calls=500`.
What is not understood is left out.
"""

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from backend.kernel.money import nano_from_usd
from backend.matching.ask import Constraints, Preferences, Question
from backend.matching.parse import MOST_CHARACTERS
from state.address import fields_of, query_string, whole_number
from state.compare_address import MOST_CALLS, MOST_TOKENS

STEPS = ("task", "needs", "answer")
MOST_PRICE = 100_000
SHOWN = 10

NEEDS: dict[str, str] = {
    "image": "Takes images",
    "pdf": "Takes PDF",
    "audio": "Takes audio",
    "tools": "Calls tools",
    "structured_output": "Answers in JSON by a schema",
    "reasoning": "Reasons",
}
"""What can be ticked: modalities taken in, and capabilities."""
_MODALITIES = frozenset({"image", "pdf", "audio"})

FIRST: dict[str, tuple[str, tuple[tuple[str, float], ...]]] = {
    "": ("What the text says, else a balance", ()),
    "quality": ("Quality above all", (("quality", 0.80), ("cost", 0.10), ("latency", 0.10))),
    "cost": ("Cost above all", (("quality", 0.25), ("cost", 0.70), ("latency", 0.05))),
    "latency": ("Speed above all", (("quality", 0.30), ("cost", 0.10), ("latency", 0.60))),
    "carbon": ("Least emissions", (("quality", 0.30), ("cost", 0.10), ("carbon", 0.60))),
}
"""What counts first: words, and the weights that they stand for."""

_WORK = {"input": "input_tokens", "output": "output_tokens", "calls": "calls_per_day"}
"""Fields of the address, and of `Wanted`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks for. `price` is USD per 1M tokens of the workload's mix, as text; `open_weights` is yes, no or empty. Of the
    work None is what is usual."""

    step: str = "task"
    text: str = ""
    price: str = ""
    context: int = 0
    needs: frozenset[str] = frozenset()
    open_weights: str = ""
    here: bool = False
    first: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    calls_per_day: int | None = None

    @property
    def question(self) -> Question:
        """The same for the matching service."""
        return Question(
            text=self.text,
            constraints=Constraints(
                max_blended_nano=nano_from_usd(Decimal(self.price)) if self.price else None,
                context_min=self.context or None,
                modalities_in=self.needs & _MODALITIES,
                capabilities=self.needs - _MODALITIES,
                open_weights={"yes": True, "no": False}.get(self.open_weights),
                configured_only=self.here,
            ),
            preferences=Preferences(weights=FIRST[self.first][1]),
            stated={name: amount for name in _WORK.values() if (amount := getattr(self, name)) is not None},
            limit=SHOWN,
        )


def with_form(wanted: Wanted, form: dict[str, str]) -> Wanted:
    """What was sent with the form of needs: everything that stands in it, and nothing else is asked any more."""
    return replace(
        wanted,
        price=_price(form.get("price", "")),
        context=whole_number(form.get("context", ""), MOST_TOKENS) or 0,
        needs=frozenset(need for need in NEEDS if form.get(need)),
        open_weights=form.get("open", "") if form.get("open") in ("yes", "no") else "",
        here=bool(form.get("here")),
        first=form.get("first", "") if form.get("first") in FIRST else "",
        input_tokens=whole_number(form.get("input", ""), MOST_TOKENS),
        output_tokens=whole_number(form.get("output", ""), MOST_TOKENS),
        calls_per_day=whole_number(form.get("calls", ""), MOST_CALLS),
    )


def read_wanted(query: str) -> Wanted:
    """The query string with or without its question mark. Nothing is answered before a task is named."""
    fields = fields_of(query)
    text = fields.get("task", "").strip()[:MOST_CHARACTERS]
    step = fields.get("step", "task")
    needs = {need: need for need in fields.get("needs", "").split(",")}
    wanted = with_form(Wanted(), {**fields, **needs})
    return replace(wanted, text=text, step=step if step in STEPS and text else "task")


def write_wanted(wanted: Wanted) -> str:
    """The query string with its question mark; empty when nothing is asked."""
    fields = {
        "step": wanted.step if wanted.step != "task" else "",
        "task": wanted.text,
        "price": wanted.price,
        "context": str(wanted.context or ""),
        "needs": ",".join(sorted(wanted.needs)),
        "open": wanted.open_weights,
        "here": "yes" if wanted.here else "",
        "first": wanted.first,
    }
    return query_string({**fields, **stated_work(wanted)})


def stated_work(wanted: Wanted) -> dict[str, str]:
    """What the form's fields of work hold; what is usual is empty."""
    return {name: "" if (amount := getattr(wanted, field)) is None else str(amount) for name, field in _WORK.items()}


def _price(text: str) -> str:
    """As text that `Decimal` reads, without an exponent; empty for none."""
    try:
        amount = Decimal(text.strip().removeprefix("$") or "NaN")
        if not amount.is_finite() or not 0 <= amount <= MOST_PRICE or len(text) > 20:
            return ""
        nano_from_usd(amount)
    except (InvalidOperation, ValueError):
        return ""
    return f"{amount.normalize():f}"
