"""Adapters by protocol. An adapter is the module `backend.providers.<protocol>`; it is imported when a configured provider needs it."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

import structlog

from backend.providers.http import UpstreamHttp
from backend.providers.provider import Provider
from backend.settings import ProviderSettings, Settings

log = structlog.get_logger(__name__)

SANDBOX = "sandbox"


def supported(settings: Settings) -> dict[str, ProviderSettings]:
    """The entries of `settings.providers` whose protocol has an adapter, and the sandbox in development."""
    wanted = dict(settings.providers)
    if not settings.is_production and SANDBOX not in wanted:
        wanted[SANDBOX] = ProviderSettings(protocol=SANDBOX)
    return {name: provider for name, provider in wanted.items() if find_spec(_module(provider)) is not None}


def _module(provider: ProviderSettings) -> str:
    return f"backend.providers.{provider.protocol}"


def build_providers(settings: Settings, http: UpstreamHttp) -> Mapping[str, Provider]:
    """One provider per entry that is `supported`.

    A protocol that has no adapter yet, and an entry of which none can be built, is said in the log and left out, so that one line of the
    configuration does not stop the rest.
    """
    can = supported(settings)
    for name, provider in settings.providers.items():
        if name not in can:
            log.warning("provider.protocol_not_supported_yet", provider=name, protocol=provider.protocol)
    providers: dict[str, Provider] = {}
    for name, provider in can.items():
        try:
            providers[name] = import_module(_module(provider)).build(name, provider, http)
        except Exception as error:
            # The words of the error may quote the key, so they stay out of the log.
            log.error("provider.cannot_be_built", provider=name, protocol=provider.protocol, error=type(error).__name__)
    return providers
