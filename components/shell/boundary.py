"""The last resort around every page."""

import reflex as rx


class Boundary(rx.Component):
    """Shows a page that broke as such, with a way to load it again."""

    library = "$/public/js/boundary.jsx"
    tag = "Boundary"
