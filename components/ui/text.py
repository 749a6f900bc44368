"""Headings, sentences and numbers. A page says in its headline what it shows before it shows it."""

from typing import Any

import reflex as rx


def headline(text: Any, **props: Any) -> rx.Component:
    """The one h1 of a page: a sentence computed from the data."""
    return rx.el.h1(text, class_name="text-[22px] leading-[1.2] tracking-[-.018em] font-semibold", **props)


def subline(*children: Any, **props: Any) -> rx.Component:
    """The sentence under a headline."""
    return rx.el.p(*children, class_name="mt-1 text-ink-2", **props)


def heading(text: Any, **props: Any) -> rx.Component:
    """The h2 of a card or section; a sentence where the data allows one."""
    return rx.el.h2(text, class_name="text-[15px] font-semibold tracking-[-.01em]", **props)


def note(*children: Any, class_name: str = "", **props: Any) -> rx.Component:
    """Small, quiet text: sources, dates, hints."""
    return rx.el.p(*children, class_name="text-[12.5px] text-ink-3 " + class_name, **props)


def number(text: Any, class_name: str = "", **props: Any) -> rx.Component:
    """A figure in tabular mono; its unit belongs into the label or the table header."""
    return rx.el.span(text, class_name="num " + class_name, **props)


def fact(label: Any, value: Any) -> rx.Component:
    """A label over a figure, as in the row of facts under a name; belongs into `facts`."""
    return rx.el.div(
        rx.el.dt(label, class_name="text-[12px] text-ink-3"),
        rx.el.dd(value, class_name="font-mono font-medium text-[15px] tabular-nums"),
    )


def facts(*children: Any) -> rx.Component:
    """The row that holds `fact`s."""
    return rx.el.dl(*children, class_name="mt-[18px] flex flex-wrap gap-x-[34px] gap-y-3")
