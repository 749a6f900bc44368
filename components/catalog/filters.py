"""The filters beside the list. `store` is the page's state class: its vars are read, its handlers called."""

from typing import Any

import reflex as rx

from components.ui.field import SEARCH, checkbox, range_field, search_field

_PRICES = [{"value": value, "text": text} for value, text in (
    (0.1, "0.10"), (0.25, "0.25"), (0.5, "0.50"), (1, "1.00"), (2.5, "2.50"), (5, "5.00"), (10, "10"), (25, "25"), (75, "75"),
)]  # fmt: skip
_CONTEXTS = [{"value": value, "text": text} for value, text in (
    (8_000, "8k"), (32_000, "32k"), (64_000, "64k"), (128_000, "128k"), (200_000, "200k"), (400_000, "400k"), (1_000_000, "1M"),
)]  # fmt: skip


def _group(title: str, *children: Any) -> rx.Component:
    return rx.el.fieldset(
        rx.el.legend(title, class_name="mb-2 text-[12px] font-semibold text-ink-2"),
        *children,
        class_name="mb-5 min-w-0",
    )


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


def filters(store: Any) -> rx.Component:
    """All filters; every value with the number of models that would be left."""
    return rx.el.div(
        _group("Takes in", _choices(store, store.takes_in)),
        _group("Gives out", _choices(store, store.gives_out)),
        _group("Can do", _long(store, store.can_do, 7)),
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
        _group("Terms", _choices(store, store.terms)),
        _group("Status", _choices(store, store.statuses)),
        _group("Kind", _long(store, store.modes, 5)),
        class_name="pt-4 text-[13px] lg:pt-0",
    )
