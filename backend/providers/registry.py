"""Adapters by protocol. An adapter is the module `backend.providers.<protocol>`; it is imported when a configured provider needs it."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

import structlog

from backend.providers.http import UpstreamHttp
from backend.providers.metadata import PLAIN, laid_over
from backend.providers.provider import Provider
from backend.settings import ProviderSettings, Settings

log = structlog.get_logger(__name__)

SANDBOX = "sandbox"


_ANSWER_NOBODY = frozenset({"anthropic", "gemini", "huggingface", "openrouter", "vertex"})
"""Protocols whose vendors' own servers want a key of everybody."""


def configured(settings: Settings, providers: Mapping[str, ProviderSettings] | None = None) -> dict[str, ProviderSettings]:
    """Providers with what `provider_metadata` says of their protocols, and the sandbox in development. One that the configuration does not
    have gets nothing of an account from there for an address of its own.

    Args:
        providers: None = the entries of `settings.providers`.
    """
    given = settings.providers if providers is None else providers
    wanted = dict(given)
    for name, provider in given.items():
        shared = settings.provider_metadata.get(provider.protocol)
        if shared and name not in settings.providers and provider.base_url is not None:
            shared = {field: value for field, value in shared.items() if field in PLAIN.get(provider.protocol, ())}
        if shared:
            wanted[name] = provider.model_copy(update={"metadata": laid_over(shared, provider.metadata)})
    if not settings.is_production and SANDBOX not in wanted:
        wanted[SANDBOX] = ProviderSettings(protocol=SANDBOX, default_model="chat")
    return wanted


def has_adapter(provider: ProviderSettings) -> bool:
    """Whether its protocol has one."""
    return find_spec(_module(provider)) is not None


def needs_key(provider: ProviderSettings) -> bool:
    """Whether it answers nobody without a key. Servers of one's own may ask for none."""
    return provider.base_url is None and provider.protocol in _ANSWER_NOBODY and provider.metadata.get("attached_account") is not True


def obstacle(provider: ProviderSettings) -> str:
    """Why the adapter of a provider that `has_adapter` cannot be used here, as a sentence for operators and callers; "" if it can.

    An adapter says so in a function `obstacle(settings)`, where there is anything to say."""
    said = getattr(import_module(_module(provider)), "obstacle", None)
    return said(provider) if said is not None else ""


def _module(provider: ProviderSettings) -> str:
    return f"backend.providers.{provider.protocol}"


def flaw(name: str, provider: ProviderSettings, http: UpstreamHttp) -> str:
    """What is wrong with the settings of a provider that `has_adapter`, its keys aside, in its adapter's words, as half a sentence; "" if
    nothing is."""
    if obstacle(provider):
        return ""
    # The words may quote what they are about.
    plain = provider.model_copy(update={"api_key": None, "api_keys": {}})
    try:
        import_module(_module(provider)).build(name, plain, http)
    except ValueError as error:
        return str(error)
    except Exception as error:
        # A value of another type than the adapter thought of.
        return f"one of its values cannot be used ({type(error).__name__})"
    return ""


def built(name: str, provider: ProviderSettings, http: UpstreamHttp) -> Provider | None:
    """The adapter of one entry. One that cannot be built is said in the log, so that one line of the configuration does not stop the
    rest."""
    if why := obstacle(provider):
        log.warning("provider.cannot_be_used", provider=name, protocol=provider.protocol, reason=why)
        return None
    try:
        adapter: Provider = import_module(_module(provider)).build(name, provider, http)
    except Exception as error:
        # The words of the error may quote the key, so they stay out of the log.
        log.error("provider.cannot_be_built", provider=name, protocol=provider.protocol, error=type(error).__name__)
        return None
    return adapter
