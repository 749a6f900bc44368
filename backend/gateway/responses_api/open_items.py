"""Items of a response while they are generated: what their events say from the first to the last of each."""

from typing import Any

from backend.gateway.responses_api.events import DELTA_END, Events, delta_head, delta_place

Item = dict[str, Any]
_TEXT = delta_head(b"response.output_text.delta")
_REFUSAL = delta_head(b"response.refusal.delta")
_SUMMARY = delta_head(b"response.reasoning_summary_text.delta")
_ARGUMENTS = delta_head(b"response.function_call_arguments.delta")
_INPUT = delta_head(b"response.custom_tool_call_input.delta")
_TEXT_END = b',"logprobs":[]}\n\n'


class OpenMessage:
    """A message of the assistant: parts of text and refusals, of which the last one grows."""

    def __init__(self, events: Events, item_id: str, index: int) -> None:
        self._events = events
        self._id = item_id
        self._index = index
        self.item: Item = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        self._pieces: list[str] = []
        self._place = b""
        self._part: Item | None = None
        events.add("response.output_item.added", output_index=index, item=self.item)

    def text(self, text: str, logprobs: list[Item] | None = None) -> None:
        if self._part is None or self._part["type"] != "output_text":
            self._open({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
        self._pieces.append(text)
        if not logprobs:
            self._events.delta(_TEXT, self._place, text, _TEXT_END)
            return
        assert self._part is not None
        self._part["logprobs"] += logprobs
        self._events.add("response.output_text.delta", **self._at, delta=text, logprobs=logprobs)

    def refusal(self, text: str) -> None:
        if self._part is None or self._part["type"] != "refusal":
            self._open({"type": "refusal", "refusal": ""})
        self._pieces.append(text)
        self._events.delta(_REFUSAL, self._place, text, DELTA_END)

    def annotate(self, annotations: list[Item]) -> None:
        """Citations of the text so far."""
        if self._part is None or self._part["type"] != "output_text":
            self._open({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
        assert self._part is not None
        known: list[Item] = self._part["annotations"]
        for annotation in annotations:
            self._events.add("response.output_text.annotation.added", **self._at, annotation_index=len(known), annotation=annotation)
            known.append(annotation)

    def close(self, status: str) -> Item:
        self._close_part()
        self.item["status"] = status
        self._events.add("response.output_item.done", output_index=self._index, item=self.item)
        return self.item

    @property
    def _at(self) -> Item:
        return {"item_id": self._id, "output_index": self._index, "content_index": len(self.item["content"])}

    def _open(self, part: Item) -> None:
        self._close_part()
        self._part, self._pieces = part, []
        self._place = delta_place(**self._at)
        self._events.add("response.content_part.added", **self._at, part=part)

    def _close_part(self) -> None:
        part, at = self._part, self._at
        if part is None:
            return
        text = "".join(self._pieces)
        if part["type"] == "output_text":
            part["text"] = text
            self._events.add("response.output_text.done", **at, text=text, logprobs=part["logprobs"])
        else:
            part["refusal"] = text
            self._events.add("response.refusal.done", **at, refusal=text)
        self._events.add("response.content_part.done", **at, part=part)
        self.item["content"].append(part)
        self._part = None


class OpenReasoning:
    """Thoughts. `things`: what the provider wants back with them."""

    def __init__(self, events: Events, item_id: str, index: int) -> None:
        self._events = events
        self._index = index
        self._at: Item = {"item_id": item_id, "output_index": index, "summary_index": 0}
        self._place = delta_place(**self._at)
        self._pieces: list[str] = []
        self.item: Item = {"id": item_id, "type": "reasoning", "summary": []}
        self.things: dict[str, Any] = {}
        events.add("response.output_item.added", output_index=index, item=self.item)

    def text(self, text: str) -> None:
        if not self._pieces:
            self._events.add("response.reasoning_summary_part.added", **self._at, part={"type": "summary_text", "text": ""})
        self._pieces.append(text)
        self._events.delta(_SUMMARY, self._place, text, DELTA_END)

    def close(self, signed: str | None, *, shows_signed: bool) -> Item:
        """The item with what it carries, which the event has only where it is shown."""
        if self._pieces:
            text = "".join(self._pieces)
            part = {"type": "summary_text", "text": text}
            self._events.add("response.reasoning_summary_text.done", **self._at, text=text)
            self._events.add("response.reasoning_summary_part.done", **self._at, part=part)
            self.item["summary"] = [part]
        whole = self.item if signed is None else {**self.item, "encrypted_content": signed}
        self._events.add("response.output_item.done", output_index=self._index, item=whole if shows_signed else self.item)
        return whole


class OpenCall:
    """A call of a function, or of a custom tool."""

    def __init__(self, events: Events, item_id: str, index: int, kind: str, call_id: str, name: str) -> None:
        self._events = events
        self._index = index
        self._at: Item = {"item_id": item_id, "output_index": index}
        self._place = delta_place(**self._at)
        self._is_custom = kind == "custom"
        self._pieces: list[str] = []
        self.call_id = call_id
        same = {"call_id": call_id, "name": name}
        self.item: Item = (
            {"id": item_id, "type": "custom_tool_call", **same, "input": ""}
            if self._is_custom
            else {"id": item_id, "type": "function_call", "status": "in_progress", **same, "arguments": ""}
        )
        events.add("response.output_item.added", output_index=index, item=self.item)

    def passed(self, text: str) -> None:
        self._pieces.append(text)
        self._events.delta(_INPUT if self._is_custom else _ARGUMENTS, self._place, text, DELTA_END)

    def close(self, status: str) -> Item:
        text, item = "".join(self._pieces), self.item
        if self._is_custom:
            item["input"] = text
            self._events.add("response.custom_tool_call_input.done", **self._at, input=text)
        else:
            item["arguments"], item["status"] = text, status
            self._events.add("response.function_call_arguments.done", **self._at, name=item["name"], arguments=text)
        self._events.add("response.output_item.done", output_index=self._index, item=item)
        return item
