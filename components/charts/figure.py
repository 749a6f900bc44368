"""What stands around every chart: a sentence for a title, a line on what is drawn, and the numbers as a table behind."""

from collections.abc import Sequence
from typing import Any

import reflex as rx

from components.ui.table import cell, column, row, scroller, table
from components.ui.text import heading, note


def figure(title: Any, *children: Any, about: Any = "", columns: Sequence[tuple[str, bool]], rows: Any, **props: Any) -> rx.Component:
    """`columns` are (words, numeric) of the table and `rows` a Var of lists of as many texts."""
    return rx.el.figure(
        rx.el.figcaption(heading(title), note(about)),
        rx.el.div(*children, class_name="mt-3"),
        rx.el.details(
            rx.el.summary("The numbers as a table", class_name="mt-1 inline-block text-[12.5px] text-ink-3 hover:text-ink"),
            scroller(
                table(
                    [column(words, numeric=numeric) for words, numeric in columns],
                    rx.foreach(
                        rows,
                        lambda line: row(*[cell(line[number], numeric=numeric) for number, (_, numeric) in enumerate(columns)]),
                    ),
                    label=title,
                    class_name="text-[13px]",
                ),
                label="The numbers as a table",
            ),
        ),
        class_name="min-w-0",
        **props,
    )
