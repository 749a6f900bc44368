"""The filters beside the list. `store` is the page's state class: its vars are read, its handlers called."""

from typing import Any

import reflex as rx

from components.ui.field import SEARCH, checkbox, range_field, search_field

_PRICES = [{"value": value, "text": text} for value, text in (
    (0.1, "0.10"), (0.25, "0.25"), (0.5, "0.50"), (1, "1.00"), (2.5, "2.50"), (5, "5.00"), (10, "10"), (25, "25"), (75, "75"),
)]  # fmt: skip
_SCORES = [{"value": value, "text": str(value)} for value in (30, 40, 50, 60, 70, 80)]
_SELECT = "h-8 w-full min-w-0 rounded border border-line-strong bg-surface px-2 text-[13px]"
_CONTEXTS = [{"value": value, "text": text} for value, text in (
    (8_000, "8k"), (32_000, "32k"), (64_000, "64k"), (128_000, "128k"), (200_000, "200k"), (400_000, "400k"), (1_000_000, "1M"),
)]  # fmt: skip


def _group(title: str, *children: Any) -> rx.Component:
    return rx.el.fieldset(
        rx.el.legend(title, class_name="mb-2 text-[12px] font-semibold text-ink-2"),
        *children,
        class_name="mb-5 min-w-0",
    )


def _choices_group(title: str, store: Any, values: Any, *, shown: int = 0) -> rx.Component:
    """Boxes to tick, the first few or all; nothing where none of what is found has any of it."""
    return rx.cond(values.length() > 0, _group(title, _long(store, values, shown) if shown else _choices(store, values)))


def _choices(store: Any, values: Any) -> rx.Component:
    return rx.foreach(
        values,
        lambda one: checkbox(
            one.label,
            count=one.count,
            checked=one.selected,
            on_change=store.toggle(one.facet, one.value),
            key=one.facet + one.value,
            custom_attrs={"data-facet": one.facet, "data-value": one.value},
        ),
    )


def _long(store: Any, values: Any, shown: int) -> rx.Component:
    """The first few, the rest one click away."""
    return rx.fragment(
        _choices(store, values[:shown]),
        rx.cond(
            values.length() > shown,
            rx.el.details(
                rx.el.summary(values.length() - shown, " more", class_name="mt-1.5 text-[12.5px] text-ink-3 hover:text-ink"),
                _choices(store, values[shown:]),
            ),
        ),
    )


def _quality(store: Any) -> rx.Component:
    """What can be chosen comes after the rows; the fields stand there before."""
    return _group(
        "Quality, 0 to 100",
        range_field(label="Quality from 0 to 100", steps=_SCORES, low=store.score_from, any_high="", single=True, on_pick=store.pick_score),
        rx.el.select(
            rx.el.option("All benchmarks together", value=""),
            rx.foreach(store.benchmarks, lambda one: rx.el.option(one[1], value=one[0], key=one[0])),
            value=store.benchmark,
            on_change=store.measure_by,
            class_name=_SELECT + " mt-2",
            custom_attrs={"aria-label": "Measured by", "data-testid": "benchmark"},
        ),
    )


def _languages(store: Any) -> rx.Component:
    """Choosing adds one; those chosen are among the chips."""
    return _group(
        "Speaks",
        rx.el.select(
            rx.el.option("Any language", value=""),
            rx.foreach(store.languages, lambda one: rx.el.option(one[1], value=one[0], key=one[0])),
            value="",
            on_change=lambda tag: store.toggle("language", tag),
            class_name=_SELECT,
            custom_attrs={"aria-label": "Speaks", "data-testid": "language"},
        ),
    )


def filters(store: Any) -> rx.Component:
    """All filters; every value with the number of models that would be left."""
    return rx.el.div(
        _choices_group("Takes in", store, store.takes_in),
        _choices_group("Gives out", store, store.gives_out),
        _choices_group("Can do", store, store.can_do, shown=7),
        _group(
            "Input, $ per 1M",
            range_field(
                label="Input price in dollars per million tokens",
                steps=_PRICES,
                low=store.price_in[0],
                high=store.price_in[1],
                any_low="0",
                on_pick=store.pick_price_in,
            ),
        ),
        _group(
            "Output, $ per 1M",
            range_field(
                label="Output price in dollars per million tokens",
                steps=_PRICES,
                low=store.price_out[0],
                high=store.price_out[1],
                any_low="0",
                on_pick=store.pick_price_out,
            ),
        ),
        _group(
            "Context, tokens",
            range_field(
                label="Context in tokens", steps=_CONTEXTS, low=store.context_from, any_high="", single=True, on_pick=store.pick_context
            ),
        ),
        _quality(store),
        _group(
            "Provider",
            search_field(
                value=store.provider_search,
                label="Find a provider",
                placeholder="Find a provider",
                on_settle=store.find_provider,
                class_name=SEARCH + " mb-2",
            ),
            _choices(store, store.sold_by),
            rx.cond(store.more_providers > 0, rx.el.p(store.more_providers, " more", class_name="mt-1.5 text-[12.5px] text-ink-3")),
        ),
        _languages(store),
        _choices_group("Terms", store, store.terms),
        _choices_group("Status", store, store.statuses),
        _choices_group("Kind", store, store.modes, shown=5),
        class_name="pt-4 text-[13px] lg:pt-0",
    )
