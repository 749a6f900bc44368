"""What `POST /api/send_prompt` takes and gives."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from backend.kernel.asked import Asked
from backend.kernel.money import NANO_PER_USD

MOST_QUESTIONS = 32
Name = Annotated[str, Field(min_length=1, max_length=255)]
_EXAMPLE: dict[str, Any] = {"prompt": "Explain quantum computing", "model_names": ["sandbox/chat", "sandbox/slow"]}


class PromptForMany(Asked):
    """One prompt, and whom it goes to: each model by its name as in `/v1`, each provider's default model, or, where both are named, each
    of these models at each of these providers that sells it."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    prompt: str | None = None
    messages: Annotated[list[dict[str, Any]] | None, Field(min_length=1, description="instead of `prompt`: a whole conversation")] = None
    system: str | None = None
    model_names: Annotated[list[Name], Field(max_length=MOST_QUESTIONS)] = []
    providers: Annotated[list[Name], Field(max_length=MOST_QUESTIONS)] = []
    max_tokens: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    timeout_seconds: Annotated[float, Field(gt=0, le=300, description="for each answer")] = 30
    stream: bool = Field(default=False, description="server-sent events: `delta` as texts come, `result` for each answer, then `done`")

    @model_validator(mode="after")
    def _asks_something_of_somebody(self) -> "PromptForMany":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either 'prompt' or 'messages'")
        if self.prompt == "":
            raise ValueError("'prompt' is empty")
        if self.messages is not None and self.system is not None:
            raise ValueError("'system' goes with 'prompt'; 'messages' have their own")
        if not self.model_names and not self.providers:
            raise ValueError("name whom to ask in 'model_names', 'providers', or both")
        return self

    def conversation(self) -> list[dict[str, Any]]:
        """The messages of each call."""
        if self.messages is not None:
            return self.messages
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.prompt}]


class Failure(BaseModel):
    """Why there is no answer, in the words and codes of `/v1`; `timeout` where it did not come in time."""

    message: str
    code: str | None
    status: int


class Answered(BaseModel):
    """What became of one question. A field is null where nothing is known of it."""

    model_name: str = Field(description="as it was asked for")
    provider: str | None = Field(description="who answered, or was to")
    model: str | None = Field(default=None, description="what the provider calls the model that answered")
    success: bool = False
    response: str | None = None
    error: Failure | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    cost_nano: int | None = Field(default=None, exclude=True)
    latency_ms: int | None = None
    request_id: str | None = Field(default=None, description="of the call in the ledger; null where none was made")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def cost_usd(self) -> float | None:
        return None if self.cost_nano is None else self.cost_nano / NANO_PER_USD


class AnsweredByMany(BaseModel):
    success: Literal[True] = True
    count: int
    succeeded: int
    data: list[Answered] = Field(description="in the order in which they were asked for")
