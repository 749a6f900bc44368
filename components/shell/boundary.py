"""The last resort around every page."""

import reflex as rx


class Boundary(rx.Component):
    """Shows a page that broke as such, with a way to load it again; the error goes to the server's log."""

    library = "$/public/js/boundary.jsx"
    tag = "Boundary"
