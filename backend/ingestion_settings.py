"""The part of the configuration that says where lists of models and prices come from, and who is told of changes."""

import re
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from backend.kernel.secrets import SecretRef
from backend.kernel.setting_types import Bytes, Duration, Section

FormatName = Literal["litellm", "genai-prices", "models.dev", "openrouter", "table"]
SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
SourceName = Annotated[str, Field(pattern=f"^{SOURCE_NAME.pattern}$")]
Interval = Annotated[Duration, Field(ge=timedelta(minutes=1), le=timedelta(days=366))]


def _web_address(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ValueError("must look like https://host/path")
    return url


WebAddress = Annotated[str, AfterValidator(_web_address)]


class SourceSettings(Section):
    """A list of models and prices that is fetched."""

    url: WebAddress | None = Field(default=None, repr=False)
    """None = the public project's own, for a source that Bourse knows by name."""
    format: FormatName | None = None
    """None = as the text looks."""
    every: Interval | None = None
    """None = as `ingestion.every`."""
    enabled: bool = True


class WebhookSettings(Section):
    """Who is told by HTTP."""

    url: WebAddress | None = Field(default=None, repr=False)
    secret: SecretRef | None = None
    """Signs what is sent."""

    @model_validator(mode="after")
    def _can_be_read(self) -> "WebhookSettings":
        if self.secret is not None and self.secret.vault_place is not None:
            raise ValueError("secret must be env:NAME or file:PATH")
        return self


class IngestionSettings(Section):
    """Fetching lists of models and prices. Off: nothing leaves this machine that nobody asked for."""

    enabled: bool = False
    every: Interval = timedelta(days=1)
    jitter: Annotated[Duration, Field(le=timedelta(days=1))] = timedelta(minutes=15)
    """By chance later than `every`, up to this."""
    max_bytes: Bytes = Field(default="32MiB", validate_default=True)
    """A longer text is refused."""
    sources: dict[SourceName, SourceSettings] = Field(default_factory=dict)
    webhook: WebhookSettings = WebhookSettings()
    """Told of what changed, and of what failed."""
