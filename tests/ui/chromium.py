"""The browser of these tests, and how it is started."""

import shutil

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), "chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
