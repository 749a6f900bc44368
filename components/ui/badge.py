"""Short words about state. Colour never stands alone: the word says it too."""

from typing import Any

import reflex as rx

_BASE = "inline-block rounded-sm px-1.5 py-px text-[12px] whitespace-nowrap "
_TONES = {
    "good": "bg-accent-soft text-good",
    "warn": "bg-warn-soft text-warn",
    "bad": "bg-bad-soft text-bad",
    "info": "bg-info-soft text-info",
    "plain": "border border-line bg-surface text-ink-2",
}


def badge(text: Any, tone: Any = "plain", **props: Any) -> rx.Component:
    """A word with a tone: good, warn, bad, info or plain; both may be Vars."""
    if isinstance(tone, str):
        return rx.el.span(text, class_name=_BASE + _TONES[tone], **props)
    tones = [(name, _BASE + classes) for name, classes in _TONES.items() if name != "plain"]
    return rx.el.span(text, class_name=rx.match(tone, *tones, _BASE + _TONES["plain"]), **props)


def tag(text: Any, **props: Any) -> rx.Component:
    """A quiet label: a capability, a kind."""
    return rx.el.span(
        text, class_name="mr-1 inline-block rounded-sm border border-line bg-surface px-1.5 py-px text-[11.5px] text-ink-2", **props
    )
