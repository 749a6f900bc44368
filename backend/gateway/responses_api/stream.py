"""Chat's stream of chunks into the events of a streamed response; no I/O.

    response.created, response.in_progress          with the first chunk: a stream that fails before it has an HTTP status of its own
    response.output_item.added … done               for each item, in the order in which they begin
    response.completed, .incomplete or .failed      the last one; there is no [DONE]

Calls stay open until the end, because some servers write several at once. What the chunks hold beyond that is let go.
Source: platform.openai.com/docs/api-reference/responses-streaming.
"""

from typing import Any

import orjson

from backend.gateway.responses_api.carried import OF_A_MESSAGE, carried
from backend.gateway.responses_api.events import Events
from backend.gateway.responses_api.generated import annotations, called, logprobs, pictures, thought, words
from backend.gateway.responses_api.open_items import OpenCall, OpenMessage, OpenReasoning
from backend.gateway.responses_api.response import Identity, Item, incomplete_reason, shown
from backend.kernel.sse import EventSplitter

_RATE_LIMITED = frozenset({"rate_limit_exceeded", "parallel_limit_exceeded", "quota_exceeded", "upstream_rate_limited"})


class ResponseStream:
    """One streamed response. What it is fed are whole answers of our own gateway, so that nothing malformed is expected of them."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._events = Events()
        self._splitter = EventSplitter()
        self._begun = False
        self._output: list[Item | None] = []
        """By the index of the item; None while it is open."""
        self._message: OpenMessage | None = None
        self._reasoning: OpenReasoning | None = None
        self._calls: dict[int, OpenCall] = {}
        """By chat's index, in the order in which they began."""
        self._open_calls: list[tuple[int, OpenCall]] = []
        self._later: dict[str, Any] = {}
        """What the provider wants back and came when no thought was open."""
        self._finish: Any = None
        self._usage: Any = None
        self._tier: Any = None
        self._facts: Any = None
        self.error: dict[str, Any] | None = None
        """The gateway's word that the answer broke off."""
        self.done = False
        """The answer is whole."""

    def feed(self, data: bytes) -> bytes:
        """Events for what the chunks say."""
        for payload in self._splitter.feed(data):
            if payload[:1] != b"{":
                self.done = self.done or payload.strip() == b"[DONE]"
                continue
            self._chunk(orjson.loads(payload))
        return self._events.taken()

    def close(self, now: int) -> tuple[bytes, dict[str, Any], list[Item]]:
        """After [DONE]: the last events of the items, the whole response as its caller sees it, and the output as it is kept."""
        self._begin(None)
        cut = incomplete_reason(self._finish) is not None
        self._close_open("incomplete" if cut else "completed")
        if self._later:
            self._carry_later()
        output = [item for item in self._output if item is not None]
        response = self._identity.ended(
            self._finish, [shown(item, self._identity) for item in output], usage=self._usage, tier=self._tier, now=now
        )
        if self._facts is not None:
            response["bourse"] = self._facts
        return self._events.taken(), response, output

    def ending(self, response: dict[str, Any]) -> bytes:
        """The last event of all."""
        self._events.add(f"response.{response['status']}", response=response)
        return self._events.taken()

    def failing(self) -> bytes:
        """The last events of a response that broke off. What it has so far stays in it."""
        self._begin(None)
        error = self.error or {}
        message, code = error.get("message"), error.get("code")
        response = self._identity.head("failed")
        response["output"] = [shown(item, self._identity) for item in self._output if item is not None]
        response["error"] = {
            "code": "rate_limit_exceeded" if code in _RATE_LIMITED else "server_error",
            "message": message if isinstance(message, str) else "The answer broke off.",
        }
        response["usage"] = None
        return self.ending(response)

    # One chunk -----------------------------------------------------------------------------------------------------------------------

    def _chunk(self, chunk: dict[str, Any]) -> None:
        error = chunk.get("error")
        if error:
            self.error = error if isinstance(error, dict) else {}
            return
        if not self._begun:
            self._begin(chunk.get("model"))
        usage = chunk.get("usage")
        if usage:
            self._usage = usage
        if "bourse" in chunk:
            self._facts = chunk["bourse"]
        tier = chunk.get("service_tier")
        if tier is not None:
            self._tier = tier
        choices = chunk.get("choices")
        choice = choices[0] if choices else None
        if type(choice) is not dict:
            return
        delta = choice.get("delta")
        if delta:
            self._delta(delta, choice.get("logprobs"))
        if choice.get("finish_reason"):
            self._finish = choice["finish_reason"]

    def _begin(self, model: Any) -> None:
        if self._begun:
            return
        self._begun = True
        if isinstance(model, str) and model:
            self._identity.model = model
        response = self._identity.head("in_progress")
        self._events.add("response.created", response=response)
        self._events.add("response.in_progress", response=response)

    def _delta(self, delta: dict[str, Any], given: Any) -> None:
        content = delta.get("content")
        if type(content) is str and len(delta) == 1:
            # What nearly all chunks are.
            if content:
                self._said().text(content, logprobs(given) if given else None)
            return
        text, inner = words(content)
        reasoning = thought(delta) or inner
        if reasoning:
            self._thought().text(reasoning)
        self._keep(delta)
        if text:
            self._said().text(text, logprobs(given) if given else None)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._said().refusal(refusal)
        if delta.get("annotations"):
            self._said().annotate(annotations(delta["annotations"]))
        calls = delta.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                self._called(call, number)
        for picture in pictures(delta.get("images")):
            self._drawn(picture)

    def _said(self) -> OpenMessage:
        if self._message is None:
            self._close_reasoning()
            item_id, index = self._place("msg")
            self._message = OpenMessage(self._events, item_id, index)
        return self._message

    def _thought(self) -> OpenReasoning:
        if self._reasoning is None:
            self._close_message("completed")
            item_id, index = self._place("rs")
            self._reasoning = OpenReasoning(self._events, item_id, index)
        return self._reasoning

    def _called(self, call: dict[str, Any], place: int) -> None:
        kind, name, passed = called(call)
        number, call_id = call.get("index"), call.get("id")
        number = number if isinstance(number, int) else place
        known = self._calls.get(number)
        # Servers that forget the index send another call under it: with another id, and with a name.
        if known is None or (name and isinstance(call_id, str) and call_id and call_id != known.call_id):
            self._close_message("completed")
            self._close_reasoning()
            item_id, index = self._place("ctc" if kind == "custom" else "fc")
            call_id = call_id if isinstance(call_id, str) and call_id else self._identity.item_id("call", index)
            known = self._calls[number] = OpenCall(self._events, item_id, index, kind, call_id, name)
            self._open_calls.append((index, known))
        if passed:
            known.passed(passed)
        if call.get("extra_content"):
            self._later.setdefault("calls", {})[known.call_id] = call["extra_content"]

    def _drawn(self, picture: str) -> None:
        self._close_message("completed")
        self._close_reasoning()
        item_id, index = self._place("ig")
        item = {"id": item_id, "type": "image_generation_call", "status": "completed", "result": picture}
        self._events.add("response.output_item.added", output_index=index, item={**item, "status": "in_progress", "result": None})
        self._events.add("response.output_item.done", output_index=index, item=item)
        self._output[index] = item

    def _place(self, prefix: str) -> tuple[str, int]:
        index = len(self._output)
        self._output.append(None)
        return self._identity.item_id(prefix, index), index

    # What the provider wants back ----------------------------------------------------------------------------------------------------

    def _keep(self, delta: dict[str, Any]) -> None:
        for name in OF_A_MESSAGE:
            value = delta.get(name)
            if not value:
                continue
            # The order of signed thoughts counts: they have an item of their own even where they say nothing.
            things = self._later if name == "extra_content" else self._thought().things
            before = things.get(name)
            if isinstance(before, list) and isinstance(value, list):
                before += value
            else:
                things[name] = value

    def _carry_later(self) -> None:
        reasoning = self._thought()
        reasoning.things = self._later
        self._close_reasoning()

    # The end of items ----------------------------------------------------------------------------------------------------------------

    def _close_open(self, status: str) -> None:
        """The last item of the output has the status of the whole, if it is still open."""
        last = len(self._output) - 1
        if self._message is not None:
            self._close_message(status)
        self._close_reasoning()
        for index, call in self._open_calls:
            self._output[index] = call.close(status if index == last else "completed")
        self._open_calls = []

    def _close_message(self, status: str) -> None:
        if self._message is not None:
            item = self._message.close(status)
            self._message = None
            self._output[_index_of(item)] = item

    def _close_reasoning(self) -> None:
        reasoning = self._reasoning
        if reasoning is not None:
            self._reasoning = None
            signed = carried(self._identity.request.model, reasoning.things) if reasoning.things else None
            item = reasoning.close(signed, shows_signed=self._identity.shows_signed())
            self._output[_index_of(item)] = item


def _index_of(item: Item) -> int:
    return int(str(item["id"]).rpartition("o")[2])
