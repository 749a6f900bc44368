"""What the log of price changes calls an offer, and what it is called here."""

from backend.catalog.providers import provider_id
from backend.catalog.sources.litellm_map import offer_of


def offer_named(source: str, provider: str, model: str) -> str:
    """The offer id of a map's entry, as the source of that map would read it."""
    if source == "litellm":
        return offer_of(model, {"litellm_provider": provider or model.partition("/")[0]}).offer_id
    if provider.startswith("huggingface_"):
        return f"huggingface/{model}:{provider.removeprefix('huggingface_')}"
    return f"{provider_id(provider)}/{model}"
