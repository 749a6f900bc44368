"""Line icons as inline SVG, drawn for an 18-pixel grid; each is decoration, the words beside it carry the meaning."""

import reflex as rx

_PATHS = {
    "mark": "M2 15V9M7 15V3M12 15V7M16.5 15v-4",
    "search": "M8 2.8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 1 0 8 2.8M12 12l3.4 3.4",
    "cross": "M5 5l8 8M13 5l-8 8",
    "down": "M5 7.5 9 11.5l4-4",
    "left": "M11 4.5 6.5 9l4.5 4.5",
    "right": "M7 4.5 11.5 9 7 13.5",
    "yes": "M3.8 9.6l3.4 3.4 7-8",
    "no": "M5 5l8 8M13 5l-8 8",
    "table": "M2.5 4h13v10h-13zM2.5 8h13M7 8v6",
    "scatter": "M3 3v12h12M6.5 11h.01M9 7.5h.01M12 9.5h.01M13.5 5h.01",
    "cards": "M2.5 3.5h5.5v4.5H2.5zM10 3.5h5.5v4.5H10zM2.5 10H8v4.5H2.5zM10 10h5.5v4.5H10z",
}


def icon(name: str, size: int = 18, class_name: str = "") -> rx.Component:
    """One of the line icons; hidden from screen readers."""
    return rx.el.svg(
        rx.el.path(d=_PATHS[name]),
        width=str(size),
        height=str(size),
        view_box="0 0 18 18",
        fill="none",
        stroke="currentColor",
        stroke_width="2" if name == "mark" else "1.5",
        stroke_linecap="butt" if name == "mark" else "round",
        stroke_linejoin="round",
        class_name="shrink-0 " + class_name,
        custom_attrs={"aria-hidden": "true"},
    )
