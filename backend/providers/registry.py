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


def build_providers(settings: Settings, http: UpstreamHttp) -> Mapping[str, Provider]:
    """One provider per entry of `settings.providers`, and the sandbox in development.

    A protocol that has no adapter yet is said in the log and left out, so that one line of the configuration does not stop the rest.
    """
    wanted = dict(settings.providers)
    if not settings.is_production and SANDBOX not in wanted:
        wanted[SANDBOX] = ProviderSettings(protocol=SANDBOX)
    providers: dict[str, Provider] = {}
    for name, provider in wanted.items():
        module = f"backend.providers.{provider.protocol}"
        if find_spec(module) is None:
            log.warning("provider.protocol_not_supported_yet", provider=name, protocol=provider.protocol)
            continue
        providers[name] = import_module(module).build(name, provider, http)
    return providers
