"""What becomes of candidates and credentials, for whoever tells operators."""

from dataclasses import dataclass

from backend.kernel.events import Event


@dataclass(frozen=True, slots=True)
class CandidateOpened(Event):
    """A breaker opened: the model is asked no more, but for a probe now and then."""

    provider: str
    model: str
    error: str
    """The newest failure: its kind, and its status if there was one."""
    failures: int


@dataclass(frozen=True, slots=True)
class CandidateClosed(Event):
    """It answered again."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class CredentialsRefused(Event):
    """A provider refused a call for the operator's key or account. Published for each such call."""

    provider: str
    model: str
    """Empty: it was asked something else than a model."""
    status: int | None
    """None: there is no key to send."""
    whole_provider: bool
    """False where other models of the provider answer, so that the key as such is good."""


@dataclass(frozen=True, slots=True)
class CredentialsAccepted(Event):
    """The provider answers again."""

    provider: str
