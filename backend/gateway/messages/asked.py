"""The providers as a Messages call asks them: those who do not know Anthropic's own fields are asked without them."""

from collections.abc import Iterator, Mapping

from backend.gateway.messages.plain import ALL, SIGNED_CALLS, THINKING, plain
from backend.providers.provider import ChatRequest, Provider, StreamAnswer, WholeAnswer

_GOOGLE = frozenset({THINKING, SIGNED_CALLS})
_OTHERS: frozenset[str] = frozenset()
_KNOWN = {"anthropic": ALL, "gemini": _GOOGLE, "vertex": _GOOGLE}
"""By protocol; all others know OpenAI's fields alone."""


def known_to(protocol: str, model: str) -> frozenset[str]:
    """What a provider understands beyond OpenAI's chat, for one of its models."""
    if protocol == "bedrock":
        return ALL if "claude" in model else _OTHERS
    return _KNOWN.get(protocol, _OTHERS)


class AskedPlainly:
    """A provider that is asked in words that it knows."""

    def __init__(self, provider: Provider) -> None:
        self.name = provider.name
        self.protocol = provider.protocol
        self.capabilities = provider.capabilities
        self._provider = provider

    async def look(self, seconds: float) -> int:
        """As `Provider.look`."""
        return await self._provider.look(seconds)

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        """As `Provider.complete`."""
        return await self._provider.complete(self._plainly(request))

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        """As `Provider.open_stream`."""
        return await self._provider.open_stream(self._plainly(request))

    def _plainly(self, request: ChatRequest) -> ChatRequest:
        # The request is this attempt's own, and who asks looks at it afterwards; its body is everybody's.
        known = known_to(self.protocol, request.model)
        if known is not ALL:
            request.body = plain(request.body, known)
        return request


class AskedForMessages(Mapping[str, Provider]):
    """`providers` as they are at any time."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers
        self._asked: dict[str, tuple[Provider, Provider]] = {}

    def __getitem__(self, name: str) -> Provider:
        provider = self._providers[name]
        kept = self._asked.get(name)
        if kept is None or kept[0] is not provider:
            kept = self._asked[name] = provider, AskedPlainly(provider)
        return kept[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __len__(self) -> int:
        return len(self._providers)
