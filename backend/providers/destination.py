"""Where a provider's key may be sent."""

from urllib.parse import urlsplit

from backend.settings import ProviderSettings


def destination(provider: ProviderSettings) -> str:
    """Where a provider's key may be sent: scheme, host and port, or the servers of its protocol's vendor; and the same of addresses that
    its metadata names beside them."""
    first = vendors_own(provider) if provider.base_url is None else _origin(provider.base_url)
    params = provider.metadata.get("params")
    named = [provider.metadata.get(field) for field in ("authority", "embeddings_url")]
    named += [params.get(field) for field in ("api_base", "base_url")] if isinstance(params, dict) else []
    return " and ".join([first, *[_origin(url) for url in named if isinstance(url, str) and url]])


def vendors_own(provider: ProviderSettings) -> str:
    """Of a provider that is asked at its vendor's servers and nowhere else."""
    return f"the servers of {provider.protocol}"


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that is none"
    try:
        port = parts.port
    except ValueError:
        port = None
    return f"{parts.scheme}://{parts.hostname}:{port or (443 if parts.scheme == 'https' else 80)}"
