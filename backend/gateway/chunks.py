"""What happens to a `chat.completion.chunk` stream between the provider and the caller; no I/O, so that it can be tested byte by byte.

Passing a chunk on untouched is the rule. Exceptions: chunks before the first token are held (until then another candidate may answer),
usage is hidden or shown as the caller asked, the finish chunk waits for the usage where it is going to carry the `bourse` facts, and
what is malformed is left out and counted.
"""

from typing import Any

import orjson

from backend.gateway.generated import LONGEST_TOKEN, TOKEN_FIELDS, spelled, tokens_at_least
from backend.gateway.seam import Seam, shows
from backend.gateway.splicing import frame, spliced
from backend.kernel.sse import EventSplitter
from backend.pricing.usage import Usage
from backend.providers.openai_usage import usage_from_openai, usage_to_openai

DONE = b"data: [DONE]\n\n"
_BYTES_PER_TOKEN = 4
_LONGEST_USUAL_TOKEN = 8
NO_CAP = 2**62
MOST_KEPT_DELTAS = 32_768
MOST_KEPT_SIGNS = 1024 * 1024
MOST_HELD_CHUNKS = 10_000
MOST_HELD_BYTES = 1024 * 1024
"""Before the first token. Nobody needs more to say nothing."""


class ChunkStream:
    """One upstream stream on its way.

    Args:
        wants_usage: the caller set `stream_options.include_usage`.
        with_facts: the last chunk is to carry the `bourse` object.
        most_tokens: the cap that the provider was sent, all choices together; what it generates beyond is cut off.
        keeps: remember what was generated, in case the stream breaks and somebody else has to go on from there.
        seam: this stream goes on where another one broke.
    """

    __slots__ = (
        "_bytes_beyond_signs",
        "_deltas",
        "_deltas_at_usage",
        "_finished_choices",
        "_first",
        "_held",
        "_held_bytes",
        "_held_finish",
        "_letters",
        "_most_tokens",
        "_open_choices",
        "_raw_usage",
        "_seam",
        "_signs",
        "_splitter",
        "_tokens",
        "_usage_chunk",
        "_waits_for_usage",
        "_wants_usage",
        "done",
        "error",
        "heard",
        "kept",
        "malformed",
        "model",
        "overrun",
        "service_tier",
        "started",
        "usage",
    )

    def __init__(
        self, *, wants_usage: bool, with_facts: bool, most_tokens: int | None = None, keeps: bool = False, seam: Seam | None = None
    ) -> None:
        self._splitter = EventSplitter()
        self._wants_usage = wants_usage
        self._waits_for_usage = with_facts and not wants_usage
        self._first: dict[str, Any] | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._held_finish: bytes | None = None
        self._usage_chunk: bytes | None = None
        self._raw_usage: Any = None
        self._open_choices: set[Any] = set()
        self._finished_choices: set[Any] = set()
        self._letters = 0
        """Deltas of a single letter."""
        self._deltas = 0
        """Those that hold something generated; `_tokens` is no more than the tokens in them, `_signs` their characters."""
        self._signs = 0
        self._bytes_beyond_signs = 0
        self._deltas_at_usage = 0
        self._most_tokens = most_tokens if most_tokens is not None else NO_CAP
        self._tokens = 0
        self.overrun = False
        """The provider went on beyond the cap, and was cut off there."""
        self.started = False
        """The first token was seen: what `feed` returns from now on goes to the caller."""
        self.done = False
        self.error: dict[str, Any] | None = None
        """The chunk that reported an error; nothing after it is read."""
        self.usage: Usage | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self.heard = False
        """The last `feed` completed an event; comments, which are all that some servers send while they queue, are none."""
        self.malformed = 0
        self.kept: list[Any] | None = [] if keeps else None
        """What was generated so far: texts, and whole deltas where there is more to them; None if it is not kept."""
        self._seam = seam

    @property
    def finished(self) -> bool:
        """Every choice that began has its finish_reason."""
        return bool(self._finished_choices) and self._finished_choices >= self._open_choices

    @property
    def complete(self) -> bool:
        """The answer is whole: every choice finished, or the provider itself said [DONE]."""
        return self.error is None and not self.behind and (self.finished or (self.done and self.started) or self.overrun)

    @property
    def differs(self) -> bool:
        """It is another answer than the one that it has to go on with."""
        return self._seam is not None and self._seam.differs

    @property
    def behind(self) -> bool:
        """It has to go on where another one broke, and has not come to that yet: nothing of it was shown."""
        return self._seam is not None and not self._seam.passed

    @property
    def holds_too_much(self) -> bool:
        """It goes on and on without a token."""
        return not self.started and (self._held_bytes > MOST_HELD_BYTES or len(self._held) > MOST_HELD_CHUNKS)

    @property
    def has_one_choice(self) -> bool:
        return len(self._open_choices) <= 1

    @property
    def _all_is_counted(self) -> bool:
        if self.usage is None or self._deltas != self._deltas_at_usage:
            return False
        # Some servers send zeros with every chunk, and their count in a last one.
        return self.usage.total_output > 0 or not self._deltas or (self.finished and self._usage_chunk is not None)

    def feed(self, data: bytes) -> bytes:
        """What may go to the caller now; b"" while everything is held.

        Raises:
            EventTooLarge: the provider sends an event without end.
        """
        events = self._splitter.feed(data)
        self.heard = bool(events)
        return self._shape(events, data if self._splitter.clean else None)

    def end(self) -> bytes:
        """The upstream's body has ended: what its last bytes still hold."""
        return self._shape(self._splitter.finish(), None)

    def closing(self, usage: Usage, facts: dict[str, Any] | None) -> bytes:
        """The end of a complete answer: what was held, the usage where it was asked for, and [DONE]."""
        extra = b',"bourse":' + orjson.dumps(facts) if facts is not None else b""
        parts = [frame(payload) for payload in self._held]
        if self.overrun:
            self._finish_as_length(parts)
        if self._held_finish is not None:
            parts.append(frame(self._held_finish if self._wants_usage else spliced(self._held_finish, extra)))
        if self._wants_usage:
            known = self._all_is_counted and self._seam is None
            payload, raw = (self._usage_chunk, self._raw_usage) if known else (None, None)
            if payload is None:
                payload = orjson.dumps({**self._identity(), "choices": [], "usage": raw or usage_to_openai(usage)})
            parts.append(frame(spliced(payload, extra)))
        parts.append(DONE)
        return b"".join(parts)

    def _finish_as_length(self, parts: list[bytes]) -> None:
        """To the caller it is an answer that reached its cap."""
        cut = sorted(self._open_choices - self._finished_choices, key=str)
        if cut:
            if self._held_finish is not None:
                parts.append(frame(self._held_finish))
            choices = [{"index": index, "delta": {}, "finish_reason": "length"} for index in cut]
            self._held_finish = orjson.dumps({**self._identity(), "choices": choices} | ({"usage": None} if self._wants_usage else {}))

    def keep_no_more_than_is_good(self) -> None:
        """A long answer is not kept: it is not gone on with if it breaks."""
        if self.kept is not None and (self._deltas > MOST_KEPT_DELTAS or self._signs > MOST_KEPT_SIGNS):
            self.kept = None

    def estimated_output_tokens(self) -> int:
        """Tokens delivered so far, as we count: one a delta where deltas are small, else one per four bytes."""
        size = self._signs + self._bytes_beyond_signs
        if size <= self._deltas * _LONGEST_USUAL_TOKEN:
            return self._deltas
        return -(-size // _BYTES_PER_TOKEN)

    def uncounted_output_tokens(self) -> int:
        """The same where the provider's count, if there is one, came before the last token or before the end of the answer; else 0.

        A running count of letters is believed: they are no tokens.
        """
        has_ended = self.finished or (self.done and not self.differs) or self._usage_chunk is not None
        if self._all_is_counted and (has_ended or self._letters * 2 >= self._deltas):
            return 0
        return self.estimated_output_tokens()

    def _shape(self, events: list[bytes], untouched: bytes | None) -> bytes:
        out: list[bytes] = []
        for payload in events:
            if payload[:1] != b"{":
                if payload.strip() == b"[DONE]":
                    self.done = True
                    untouched = None
                    break
                if not payload.strip():
                    untouched = None
                    continue
            try:
                chunk = orjson.loads(payload)
                if chunk.get("error"):
                    if self.finished and not self.behind:
                        self.done = True  # all of the answer is here
                    else:
                        self.error = chunk
                    untouched = None
                    break
                if untouched is None and b"\n" in payload:
                    payload = orjson.dumps(chunk)  # several data lines: from here on it is one
                choices = chunk.get("choices")
                usage = chunk.get("usage")
                shaped = self._choices(payload, chunk, choices, usage) if choices else self._without_choices(payload, chunk, usage)
            except (orjson.JSONDecodeError, AttributeError, TypeError, RecursionError):
                # Not JSON, not an object, or with something else where objects belong: skip it, keep going.
                self.malformed += 1
                shaped = None
            if shaped is None:
                untouched = None
                if self.overrun:
                    self.done = True
                    break
                continue
            if shaped is not payload:
                untouched = None
            out.append(shaped)
        if not self.started:
            self._held += out
            self._held_bytes += sum(map(len, out))
            return b""
        if self._held:
            out[:0] = self._held
            self._held = []
            untouched = None
        if untouched is not None:
            return untouched
        return b"".join([b"data: " + payload + b"\n\n" for payload in out])

    def _choices(self, payload: bytes, chunk: dict[str, Any], choices: list[dict[str, Any]], usage: Any) -> bytes | None:
        if self._first is None:
            self._first = chunk
            model = chunk.get("model")
            self.model = model if isinstance(model, str) else None
            self._note_tier(chunk)
        finishing, kept = False, self.kept
        for choice in choices:
            index = choice.get("index", 0)
            self._open_choices.add(index)
            if choice.get("finish_reason"):
                finishing = True
                self._finished_choices.add(index)
            delta = choice.get("delta")
            if delta:
                content = delta.get("content")
                if type(content) is not str or not content:
                    generated = next(filter(None, map(delta.get, TOKEN_FIELDS)), None)
                    if kept is not None and (generated is not None or self._says_something(delta)):
                        kept.append(delta)
                    if generated is None:
                        continue
                    content = spelled(generated)
                elif kept is not None:
                    kept.append(content if len(delta) == 1 or (len(delta) == 2 and "role" in delta) else delta)
                size = len(content)
                self._deltas += 1
                self._signs += size
                self._tokens += 1 if size < LONGEST_TOKEN else tokens_at_least(content)
                if size == 1 and content.isascii() and content.isalpha():
                    self._letters += 1
                if not content.isascii():
                    self._bytes_beyond_signs += len(content.encode()) - size
        if self._tokens > self._most_tokens and self.started and self._is_beyond_cap():
            self.overrun = True
            if self.behind:
                self._end_hold(chunk, choices)
            return None
        if not self.started:
            self.started = finishing or self._deltas > 0
        if usage is not None:
            self._note_usage(usage)
        if self._seam is not None:
            if not shows(self._seam, chunk, finishing):
                # What else has come with a difference is counted, as it is going to be billed.
                self.done = self.differs
                return None
            payload = orjson.dumps(chunk)
        shaped = self._with_usage_as_asked(payload, chunk, usage)
        before, self._held_finish = self._held_finish, None
        if (finishing or (before is not None and self.finished)) and self._waits_for_usage:
            # The last one of all carries the facts; some servers have more to say after the end.
            self._held_finish = shaped
            shaped_now = before
        else:
            shaped_now = shaped if before is None else before + b"\n\ndata: " + shaped
        return shaped_now

    def _says_something(self, delta: dict[str, Any]) -> bool:
        """Whether anything is in a field that nobody here knows, so that it has to be repeated, too."""
        if self.kept is not None and len(self.kept) >= MOST_KEPT_DELTAS:
            self.kept = None
        return any(value for name, value in delta.items() if name != "role")

    def _end_hold(self, chunk: dict[str, Any], choices: list[dict[str, Any]]) -> None:
        """A continuation is at its cap before its seam has let anything through: what was held up to here is all that it says."""
        for choice in choices:
            choice["delta"] = {}
        if self._seam is not None and shows(self._seam, chunk, True):
            self._held.append(orjson.dumps(chunk))

    def _is_beyond_cap(self) -> bool:
        """More deltas than tokens were allowed: that is beyond the cap unless most are single letters, and then if all together are long.

        No tokenizer cuts words into letters; of digits and of other scripts a sign may be a token.
        """
        if self._letters * 2 < self._deltas:
            return True
        return self._signs > self._most_tokens * _LONGEST_USUAL_TOKEN

    def _without_choices(self, payload: bytes, chunk: dict[str, Any], usage: Any) -> bytes | None:
        if usage is not None:
            self._note_usage(usage)
            self._note_tier(chunk)
            if chunk.get("choices") is None:
                chunk["choices"] = []
                payload = orjson.dumps(chunk)
            self._usage_chunk = payload
            return None
        if chunk.get("object") != "chat.completion.chunk":
            # Heart-beats and the like of single providers; no client of this API knows them.
            return None
        if self._seam is not None:
            return None
        if chunk.get("choices") is None:
            chunk["choices"] = []
            payload = orjson.dumps(chunk)
        return self._with_usage_as_asked(payload, chunk, usage)

    def _note_usage(self, usage: Any) -> None:
        """The last one that can be read counts: some servers send a running total with every chunk."""
        known = usage_from_openai(usage)
        if known is not None:
            self.usage = known
            self._raw_usage = usage
            self._deltas_at_usage = self._deltas

    def _note_tier(self, chunk: dict[str, Any]) -> None:
        """At the start a provider may only know what was asked for; with the usage it says what was served."""
        tier = chunk.get("service_tier")
        if isinstance(tier, str):
            self.service_tier = tier

    def _with_usage_as_asked(self, payload: bytes, chunk: dict[str, Any], usage: Any) -> bytes:
        if self._wants_usage:
            if usage is not None:
                return orjson.dumps({**chunk, "usage": None})
            return payload if "usage" in chunk else spliced(payload, b',"usage":null')
        if "usage" not in chunk:
            return payload
        if usage is None:
            # Inside a JSON string the quotes would be escaped, so these bytes can only be the key.
            stripped = payload.replace(b',"usage":null', b"", 1)
            if len(stripped) != len(payload):
                return stripped
        del chunk["usage"]
        return orjson.dumps(chunk)

    @property
    def identity(self) -> dict[str, Any]:
        """What the caller knows the answer by."""
        first = self._first or {}
        return {"id": first.get("id", ""), "created": first.get("created", 0)}

    def _identity(self) -> dict[str, Any]:
        return {**self.identity, "object": "chat.completion.chunk", "model": (self._first or {}).get("model", "")}
