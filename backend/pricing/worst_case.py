"""The most that a call may cost, before anybody is asked: what budgets reserve for it."""

from datetime import datetime

from backend.pricing.cost import MILLION, PriceCard

_BY_DEFAULT = (None, "flex", "priority")
"""What a provider may serve a caller who names no tier: its own default, or the project's."""


class Rates:
    """The dearest prices of a card that a call may meet, nano-dollars per 1M tokens, and nano-dollars for the request itself."""

    __slots__ = ("answer", "prompt", "request")

    def __init__(self, prompt: int, answer: int, request: int) -> None:
        self.prompt = prompt
        self.answer = answer
        self.request = request

    def nano(self, prompt: int, answer: int) -> int:
        """The most that a call of so many tokens costs, rounded up once as the call is going to be."""
        return -(-(prompt * self.prompt + answer * self.answer + self.request) // MILLION)

    def answer_within(self, nano: int, prompt: int) -> int:
        """How many tokens the answer may have for the call to cost at most `nano`."""
        left = nano * MILLION - prompt * self.prompt - self.request
        return left // self.answer if self.answer else 2**31


def worst_rates(
    card: PriceCard, prompt: int, *, at: datetime, service_tier: str | None = None, audio_in: bool = False, audio_out: bool = False
) -> Rates | None:
    """The dearest rates of a priced card for a prompt of at most so many tokens; None where something that the call needs has no price.

    A provider decides how much of a prompt it reads from its cache or writes there, and how much of an answer it thinks or draws; so the
    dearest of these counts for all of it. Audio has prices of its own, a multiple: they count where the call may use it.

    Args:
        service_tier: what the caller asks for. It is no promise: a provider may serve its base tier instead, or ignore the field.
    """
    paid = made = once = 0
    tiers: tuple[str | None, ...] = (None,)
    if card.tiers:
        tiers = _BY_DEFAULT if service_tier is None or service_tier == "auto" else (None, service_tier)
    for tier in tiers:
        for sheet in card.sheets(prompt, at, tier):
            # In the order in which `cost_of_call` reads them.
            put_in, put_out, read, thought, written, hour, heard, said, _, _, request, drawn, _ = sheet.lines
            if "input" in sheet.ignored:
                # Priced by the picture or the second: what it bills for a chat, nobody knows.
                if request is None:
                    return None
            elif put_in is None or put_out is None or (audio_in and heard is None) or (audio_out and said is None):
                return None
            for line in (put_in, read, written, hour, heard if audio_in else None):
                if line is not None and line.nano_per_million > paid:
                    paid = line.nano_per_million
            for line in (put_out, thought, drawn, said if audio_out else None):
                if line is not None and line.nano_per_million > made:
                    made = line.nano_per_million
            if request is not None and request.nano_per_million > once:
                once = request.nano_per_million
    return Rates(paid, made, once)
