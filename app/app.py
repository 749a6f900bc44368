"""The Reflex app: pages, and the front door around them."""

from backend.asgi import front_door, lifespan
from backend.kernel.left_out import CLIENTS, PAGES_OF_ERRORS, left_out

with left_out(*CLIENTS, *PAGES_OF_ERRORS):
    import reflex as rx
    import reflex.app  # with all that it takes up by itself
    import reflex.model  # read now: the first event with an argument would otherwise stop the whole process for a second

from app.routes import register
from state.gate import Gate, keep_arguments_out_of_logs

# Before the first paint: a page opened with filters in its address hides the prerendered, unfiltered rows until the answer is here.
# The front door allows inline scripts of built pages by their hash. React escapes quotes and angle brackets, so there are none.
_EARLY = "location.search[1] ? document.documentElement.dataset.pending = 1 : 0"
_FONTS = ("inter-4.1-latin", "jetbrains-mono-2.304-latin")
_HEAD = [
    rx.el.script(_EARLY),
    rx.el.link(rel="icon", href="/favicon.svg", type="image/svg+xml"),
    *[
        rx.el.link(rel="preload", href=f"/fonts/{name}.woff2", type="font/woff2", custom_attrs={"as": "font", "crossOrigin": "anonymous"})
        for name in _FONTS
    ],
]

# The front door answers other origins, never with credentials. Reflex would put its own answer around it, which allows them.
rx.App._add_cors = staticmethod(lambda _api: None)

app = rx.App(
    stylesheets=["/tokens.css", "/base.css"],
    head_components=_HEAD,
    html_lang="en",
    # Our own boundary, banner and toasts stand in the frame; Reflex's own cost 20 KB and need a looser content policy.
    app_wraps={},
    toaster=None,
    api_transformer=front_door,
)
if app.sio is not None:
    # The front door has checked a socket's origin by then, against the host that the page was asked from; a fixed list cannot know it.
    app.sio.eio.cors_allowed_origins = []
app.register_lifespan_task(lifespan)
app.add_middleware(Gate())
keep_arguments_out_of_logs()
register(app)
