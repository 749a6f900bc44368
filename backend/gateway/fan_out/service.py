"""One prompt for many models at once: each is a call of its own, with its own success or error."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from backend.gateway.fan_out.in_process import Question
from backend.gateway.fan_out.schemas import MOST_QUESTIONS, Answered, AnsweredByMany, Failure, PromptForMany
from backend.identity.snapshot import AuthSnapshot, KeyRecord
from backend.kernel.errors import BadRequest, ModelNotAllowed, ModelNotFound
from backend.kernel.request import App, RequestContext
from backend.providers.book import ProviderBook
from backend.routing.table import Permitted, RouteTable


class FanOut:
    """Args:
    gateway: answers the calls.
    """

    def __init__(self, gateway: App, auth: AuthSnapshot, routes: RouteTable, providers: ProviderBook) -> None:
        self._gateway = gateway
        self._auth = auth
        self._routes = routes
        self._providers = providers
        self._running: set[asyncio.Task[None]] = set()

    def authenticate(self, authorization: str | None, context: RequestContext) -> KeyRecord:
        """Raises InvalidApiKey, TenantSuspended, AddressNotAllowed."""
        key = self._auth.authenticate(authorization, address=context.address)
        context.tenant_id, context.user_id = key.tenant_id, key.user_id
        return key

    def ask(self, prompt: PromptForMany, key: KeyRecord, authorization: str, context: RequestContext) -> "Round":
        """Begin to ask everybody. Raises BadRequest: more questions than one round has.

        Args:
            authorization: the header that `key` came in; each call is made with it.
        """
        wanted = self._wanted(prompt, key)
        if len(wanted) > MOST_QUESTIONS:
            raise BadRequest(f"These are {len(wanted)} questions; at most {MOST_QUESTIONS} are asked at once.", param="model_names")
        fields = {"max_tokens": prompt.max_tokens, "temperature": prompt.temperature}
        common = {name: value for name, value in fields.items() if value is not None} | {"messages": prompt.conversation()}
        result = Round([answered for answered, _ in wanted])
        for number, (answered, model) in enumerate(wanted):
            if model is None:
                result.settled(number)
                continue
            said = result.listener(number) if prompt.stream else None
            question = Question(answered, {"model": model, **common}, said)
            result.questions.append(question)
            asking = question.ask(self._gateway, context, number + 1, authorization, prompt.timeout_seconds)
            task = asyncio.create_task(_one(asking, result, number), name="fan-out")
            # Whoever asked may leave; the call then ends by itself and is settled.
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return result

    def _wanted(self, prompt: PromptForMany, key: Permitted) -> list[tuple[Answered, str | None]]:
        """Each question with the name that it is asked by; None where there is nobody to ask, and the error says why."""
        providers = [self._provider(name) for name in prompt.providers]
        models = list(dict.fromkeys(prompt.model_names))
        if not providers:
            return [(Answered(model_name=model, provider=None), model) for model in models]
        if not models:
            return [self._default_of(name) for name in dict.fromkeys(providers)]
        wanted: list[tuple[Answered, str | None]] = []
        for model in models:
            sold = [(name, asked) for name in dict.fromkeys(providers) if (asked := self._sold_as(name, model, key)) is not None]
            wanted += [(Answered(model_name=model, provider=name), asked) for name, asked in sold]
            if not sold:
                wanted.append((_unasked(model, None, "None of these providers sells it to this key."), None))
        return wanted

    def _provider(self, name: str) -> str:
        """As it is configured; the seed's clients write OpenAI, not openai."""
        return name if name in self._providers.all else name.lower()

    def _default_of(self, name: str) -> tuple[Answered, str | None]:
        settings = self._providers.all.get(name)
        if settings is None:
            return _unasked("", name, "There is no such provider here."), None
        if settings.default_model is None:
            return _unasked("", name, "It has no default model: name the models to ask in 'model_names'."), None
        return Answered(model_name=settings.default_model, provider=name), f"{name}/{settings.default_model}"

    def _sold_as(self, provider: str, model: str, key: Permitted) -> str | None:
        """The name to ask by, if the provider sells it to this key."""
        name = self._routes.sold_as(provider, model)
        try:
            return name and self._routes.resolve(name, key).name
        except (ModelNotFound, ModelNotAllowed):
            return None


async def _one(asking: Coroutine[Any, Any, None], result: "Round", number: int) -> None:
    try:
        await asking
    finally:
        result.settled(number)


def _unasked(model: str, provider: str | None, why: str) -> Answered:
    return Answered(model_name=model, provider=provider, error=Failure(message=why, code="model_not_found", status=404))


class Round:
    """All questions of one prompt, and what has become of them."""

    def __init__(self, answers: list[Answered]) -> None:
        self.questions: list[Question] = []
        """Those that somebody was asked."""
        self._answers = answers
        self._open = len(answers)
        self._told: dict[int, list[str]] = {}
        """Texts that have come and were not handed out yet, by question."""
        self._ended: list[int] = []
        self._news = asyncio.Event()

    def listener(self, number: int) -> Callable[[str], None]:
        """Told each piece of the text that comes to this question."""

        def said(text: str) -> None:
            self._told.setdefault(number, []).append(text)
            self._news.set()

        return said

    def settled(self, number: int) -> None:
        """Nothing more comes to this question."""
        self._open -= 1
        self._ended.append(number)
        self._news.set()

    def leave(self) -> None:
        """Whoever asked has gone, or has all answers: calls that have not ended are hung up."""
        for question in self.questions:
            question.hang_up()

    async def whole(self) -> AnsweredByMany:
        """All answers, once there are no more to come."""
        while self._open:
            self._news.clear()
            await self._news.wait()
        return AnsweredByMany(count=len(self._answers), succeeded=sum([answered.success for answered in self._answers]), data=self._answers)

    async def events(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """What happens, as it does: `delta`, `result` and at the end `done`. A slow reader gets longer texts, not more events."""
        while True:
            self._news.clear()
            told, self._told = self._told, {}
            for number, texts in told.items():
                answered = self._answers[number]
                yield "delta", {"index": number, "model_name": answered.model_name, "delta": "".join(texts)}
            ended, self._ended = self._ended, []
            for number in ended:
                yield "result", {"index": number, **self._answers[number].model_dump()}
            if not self._open and not self._ended and not self._told:
                break
            if not self._ended and not self._told:
                await self._news.wait()
        yield "done", {"success": True, "count": len(self._answers), "succeeded": sum([one.success for one in self._answers])}
