"""`/docs/api`: what programs may ask, read in the browser from the document that programs read."""

import reflex as rx

from components.ui.text import headline, subline


class ApiReference(rx.Component):
    """The operations of an OpenAPI document with search, fields, and requests to copy."""

    library = "$/public/js/api_reference.jsx"
    tag = "ApiReference"

    source: rx.Var[str]


def content() -> rx.Component:
    return rx.el.main(
        headline("Programs may ask everything that these pages show"),
        subline(
            "An OpenAPI 3.1 document, ",
            rx.el.a("/openapi.json", href="/openapi.json", class_name="text-accent underline underline-offset-2"),
            ": for generated clients, and below for you.",
        ),
        ApiReference.create(source="/openapi.json"),
        id="main",
        tab_index=-1,
        class_name="mx-auto min-h-screen max-w-[1180px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )
