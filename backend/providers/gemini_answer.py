"""What Gemini answers, as OpenAI's `chat.completion` and the choices of its chunks.

Sources: GenerateContentResponse, Candidate, FinishReason and LogprobsResult in ai.google.dev/api/generate-content; how signatures of
thoughts are shown in ai.google.dev/gemini-api/docs/thought-signatures.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from backend.kernel.errors import ContentPolicyViolation
from backend.providers.failures import UpstreamFailure, protocol_failure, readable_reason
from backend.providers.gemini_usage import openai_usage

_BLOCKED = frozenset({
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER",
})  # fmt: skip
_BROKEN = frozenset({
    "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE",
})  # fmt: skip
"""The model said what is no answer; asked again, or elsewhere, it may be one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an answer is known by. `made_id` counts where Gemini gives none."""

    provider: str
    model: str
    made_id: str
    created: int

    def head(self, answer: dict[str, Any], kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.id_of(answer)}", "object": kind, "created": self.created, "model": self.model_of(answer)}

    def id_of(self, answer: dict[str, Any]) -> str:
        given = answer.get("responseId")
        return given if isinstance(given, str) and given else self.made_id

    def model_of(self, answer: dict[str, Any]) -> str:
        given = answer.get("modelVersion")
        return given if isinstance(given, str) and given else self.model


def chat_completion(answer: dict[str, Any], identity: Identity) -> dict[str, Any]:
    """The whole answer.

    Raises:
        UpstreamFailure: it is none: the prompt was blocked, or nothing in it can be read.
    """
    raise_if_blocked(answer)
    candidates = answer.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        raise protocol_failure(identity.provider, "an answer without candidates")
    choices = []
    for number, candidate in enumerate(candidates):
        reader = ChoiceReader(identity, number, identity.id_of(answer))
        delta, reason = reader.read(candidate)
        calls = delta.get("tool_calls")
        for call in calls or ():
            del call["index"]
        message = {"role": "assistant", "content": None if calls else "", "refusal": None, **delta}
        choice = {"index": number, "message": message, "logprobs": logprobs(candidate), "finish_reason": reason or "stop"}
        choices.append(choice)
    body = {**identity.head(answer, "chat.completion"), "choices": choices}
    usage = openai_usage(answer.get("usageMetadata"))
    return body if usage is None else {**body, "usage": usage}


class ChoiceReader:
    """One candidate, in as many pieces as it comes in."""

    __slots__ = ("_calls", "_id", "_identity", "_index")

    def __init__(self, identity: Identity, index: int, answer_id: str) -> None:
        self._identity = identity
        self._index = index
        self._id = answer_id
        self._calls = 0

    def read(self, candidate: Any) -> tuple[dict[str, Any], str | None]:
        """What a piece adds to the message, without a role, and the finish reason if it is the last.

        Raises:
            UpstreamFailure: what the model said is no answer.
        """
        if not isinstance(candidate, dict):
            raise protocol_failure(self._identity.provider, "a candidate that is no object")
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[dict[str, Any]] = []
        images: list[dict[str, Any]] = []
        signature: str | None = None
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict):
                continue
            text = part.get("text")
            if isinstance(text, str):
                if text:
                    (thoughts if part.get("thought") else texts).append(text)
            elif isinstance(part.get("functionCall"), dict):
                calls.append(self._call(part["functionCall"], part.get("thoughtSignature")))
                continue
            elif isinstance(part.get("inlineData"), dict):
                blob = part["inlineData"]
                url = f"data:{blob.get('mimeType')};base64,{blob.get('data')}"
                images.append({"type": "image_url", "image_url": {"url": url}})
            given = part.get("thoughtSignature")
            if isinstance(given, str) and given:
                signature = given
        delta: dict[str, Any] = {}
        if texts:
            delta["content"] = "".join(texts)
        if thoughts:
            delta["reasoning_content"] = "".join(thoughts)
        if calls:
            delta["tool_calls"] = calls
        if images:
            delta["images"] = images
        if signature is not None:
            delta["extra_content"] = {"google": {"thought_signature": signature}}
        return delta, self._reason(candidate)

    def _call(self, call: dict[str, Any], signature: Any) -> dict[str, Any]:
        number, self._calls = self._calls, self._calls + 1
        identity, name = call.get("id"), call.get("name")
        if not isinstance(identity, str) or not identity:
            # Of the answer's own id, so that it is the same however the stream is cut, and never that of another turn.
            identity = f"call_{self._id}_{self._index}_{number}"
        function = {"name": name if isinstance(name, str) else "", "arguments": orjson.dumps(call.get("args") or {}).decode()}
        said: dict[str, Any] = {"index": number, "id": identity, "type": "function", "function": function}
        if isinstance(signature, str) and signature:
            said["extra_content"] = {"google": {"thought_signature": signature}}
        return said

    def _reason(self, candidate: dict[str, Any]) -> str | None:
        reason = candidate.get("finishReason")
        if not isinstance(reason, str) or reason == "FINISH_REASON_UNSPECIFIED":
            return None
        if reason in _BROKEN:
            raise protocol_failure(self._identity.provider, f"an answer that ends in {reason}")
        if reason == "MAX_TOKENS":
            return "length"
        if reason in _BLOCKED:
            return "content_filter"
        return "tool_calls" if self._calls else "stop"


def raise_if_blocked(answer: dict[str, Any]) -> None:
    """Raises UpstreamFailure: the prompt was blocked, so that there is no answer."""
    feedback = answer.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if reason is None or reason == "BLOCK_REASON_UNSPECIFIED" or answer.get("candidates"):
        return
    words = feedback.get("blockReasonMessage") if isinstance(feedback, dict) else None
    sentence = f"The provider blocked the prompt ({readable_reason(str(reason))})."
    if isinstance(words, str) and words:
        sentence = f"{sentence} {readable_reason(words)}"
    raise UpstreamFailure("refused", ContentPolicyViolation(sentence), status=200)


def logprobs(candidate: dict[str, Any]) -> dict[str, Any] | None:
    """The log probabilities of a candidate's tokens, None where it has none."""
    result = candidate.get("logprobsResult")
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(chosen, list):
        return None
    tops = result.get("topCandidates")
    tops = tops if isinstance(tops, list) else []
    content = []
    for number, token in enumerate(chosen):
        step = tops[number] if number < len(tops) else None
        beside = step.get("candidates") if isinstance(step, dict) else None
        content.append({**_token(token), "top_logprobs": [_token(one) for one in beside] if isinstance(beside, list) else []})
    return {"content": content, "refusal": None}


def _token(value: Any) -> dict[str, Any]:
    given = value if isinstance(value, dict) else {}
    text, number = given.get("token"), given.get("logProbability")
    text = text if isinstance(text, str) else ""
    return {"token": text, "logprob": number if isinstance(number, int | float) else 0.0, "bytes": list(text.encode("utf-8", "replace"))}
