"""What is wrong with what a caller got, by the contract: the wire's page, the log of the providers, the ledger."""

from collections.abc import Iterator

from tests.faults.caller import Got
from tests.faults.provider import PROMPT_TOKENS, TEXT, TOKENS
from tests.faults.scripts import POLICY_REASON, Pace
from tests.faults.stage import TOKEN, Played, prices

MOST_ATTEMPTS = 6
CLOSES_AGAIN_SECONDS = 30.0


def complaints(played: Played, pace: Pace) -> list[str]:
    """Everything that is not as promised; empty if all is well. Upper limits of time are only judged at real pace: a fast run on a busy
    machine says nothing about them."""
    return [*_calls(played, pace), *_providers(played, pace), *_ledger(played), *_usage(played)]


def _calls(played: Played, pace: Pace) -> Iterator[str]:
    fault = played.fault
    for number, got in enumerate(played.got):
        wrong = list(_one(played, got))
        if pace.factor == 1 and got.seconds > fault.seconds:
            wrong.append(f"took {got.seconds:.1f} s of {fault.seconds:g}")
        yield from (f"call {number + 1}: {text}" if fault.calls > 1 else text for text in wrong)


def _one(played: Played, got: Got) -> Iterator[str]:
    wanted = played.fault.gets
    if not got.request_id:
        yield "no x-request-id"
    if wanted == "answer" or (wanted == "answer or failure" and got.error is None):
        yield from _answer(played, got)
    else:
        yield from _failure(played, got)


def _answer(played: Played, got: Got) -> Iterator[str]:
    if got.error is not None or got.raised is not None:
        yield f"no answer but {got.status} {got.error or got.raised}"
        if not TEXT.startswith(got.text):
            yield f"mixed text {got.text[-60:]!r}"
        return
    if got.text != played.fault.text:
        begun = len(_common(got.text))
        yield f"not the answer: {begun // 4} tokens of it, then {got.text[begun : begun + 20]!r}"
    if (got.status, got.finish, got.done) != (200, "stop", True):
        yield f"ends oddly: status {got.status}, finish_reason {got.finish}, end {'seen' if got.done else 'missing'}"
    usage = got.usage or {}
    if (usage.get("prompt_tokens"), usage.get("completion_tokens")) != (PROMPT_TOKENS, TOKENS):
        yield f"usage {usage.get('prompt_tokens')} + {usage.get('completion_tokens')}"
    yield from _told(played, got)


def _told(played: Played, got: Got) -> Iterator[str]:
    """The response says who answered, and after whom."""
    facts = got.bourse
    if facts is None:
        yield "no bourse object"
        return
    tries = facts["attempts"]
    if facts["provider"] != tries[-1]["provider"]:
        yield f"says that {facts['provider']} answered, and {tries[-1]['provider']} came last"
    if played.fault.calls > 1:
        return
    asked = played.asked
    if len(tries) != asked:
        yield f"bourse.attempts lists {len(tries)} of {asked}"
    if played.fault.left_writing:
        return  # who of them finished, nobody can tell from their logs
    answered = next((provider.name for provider in played.providers if any(question.finished for question in provider.asked)), None)
    if answered is not None and facts["provider"] != answered:
        yield f"bourse.provider is {facts['provider']}, {answered} answered"
    if answered is not None and not facts.get("recovered"):
        number = next(number for number, provider in enumerate(played.providers) if provider.name == answered)
        if got.models != [f"model-{number}-2026-01-01"]:
            yield f"model is {got.models}, {answered} answered"
        if got.headers.get("x-bourse-model") != got.models[0]:
            yield f"x-bourse-model is {got.headers.get('x-bourse-model')}"
        if got.headers.get("x-bourse-attempts") != str(asked):
            yield f"x-bourse-attempts is {got.headers.get('x-bourse-attempts')} of {asked}"
    streamed_before = played.mode == "stream" and len(played.providers[0].asked) and played.providers[0].asked[0].generated
    header = got.headers.get("x-bourse-fallback")
    if answered == played.providers[0].name or streamed_before:
        pass  # a header that went out before the stream broke could not know
    elif header != "true":
        yield f"x-bourse-fallback is {header}"
    elif got.headers.get("x-bourse-provider") != answered:
        yield f"x-bourse-provider is {got.headers.get('x-bourse-provider')}"
    if streamed_before and len(tries) > 1 and not facts.get("recovered"):
        yield "no bourse.recovered"


def _failure(played: Played, got: Got) -> Iterator[str]:
    fault = played.fault
    if got.error is None:
        yield f"no error: {len(got.text) // 4} tokens, then {'[DONE]' if got.done else 'a silent end'} ({got.raised})"
        return
    if got.done:
        yield "[DONE] after an error"
    if not TEXT.startswith(got.text):
        yield f"mixed text {got.text[-60:]!r}"
    if set(got.error) != {"message", "type", "param", "code"}:
        yield f"the error is no error of OpenAI's: {got.error}"
    if got.raised is None:
        yield "the SDK took it for an answer"
    if fault.status is not None and got.status != fault.status:
        yield f"status {got.status}"
    if fault.code is not None and got.error.get("code") != fault.code:
        yield f"code {got.error.get('code')}"
    if fault.gets == "refusal" and POLICY_REASON not in str(got.error.get("message")):
        yield f"the reason is {got.error.get('message')!r}"
    if got.status in (429, 503) and "retry-after" not in got.headers:
        yield "no Retry-After"
    for provider in played.providers:
        if provider.name in got.error["message"] and f"sk-of-{provider.name}" in got.error["message"]:
            yield "the provider's key is told"


def _providers(played: Played, pace: Pace) -> Iterator[str]:
    fault, first = played.fault, played.providers[0]
    if fault.calls == 1 and played.asked > MOST_ATTEMPTS:
        yield f"{played.asked} attempts"
    for provider in played.providers:
        if fault.calls == 1 and len(provider.asked) > 3:
            yield f"{provider.name} was asked {len(provider.asked)} times"
    if fault.asked_once and len(first.asked) > 1:
        yield f"the silent one was asked {len(first.asked)} times"
    if fault.waits and len(first.asked) > 1 and (waited := first.asked[1].at - first.asked[0].at) < pace(fault.waits):
        yield f"asked again after {waited:.2f} s, Retry-After said {pace(fault.waits):g}"
    if fault.gets == "refusal" and played.asked > 1:
        yield f"a refusal was taken elsewhere: {played.asked} attempts"
    if fault.name == "away":
        yield from _closed_again(played, pace)


def _closed_again(played: Played, pace: Pace) -> Iterator[str]:
    first = played.providers[0]
    begun = first.asked[0].at
    back = [asked.at - begun for asked in first.asked if asked.finished]
    healthy_at = 60 * pace.breakers
    if not back:
        yield "the circuit never closed"
        return
    if pace.factor == 1 and back[0] > healthy_at + CLOSES_AGAIN_SECONDS:
        yield f"the circuit closed {back[0] - healthy_at:.0f} s after the recovery"
    by_first = [got for got in played.got if (got.bourse or {}).get("provider") == first.name]
    closed_at = min(got.begun + got.seconds for got in by_first)
    if any(got.begun > closed_at for got in played.got if got not in by_first):
        yield "others answered after the circuit had closed"
    failed = sum(not asked.finished for asked in first.asked)
    # Three that open the breaker and a probe each ten seconds; on a slow machine other calls are on their way while it opens.
    if failed > (10 if pace.factor == 1 else 16):
        yield f"asked {failed} times while it was away"


def _ledger(played: Played) -> Iterator[str]:
    fault = played.fault
    if len(played.rows) != len(played.got):
        yield f"{len(played.rows)} ledger rows of {len(played.got)}"
        return
    cost_of = {provider.name: prices(number, fault)["output"] * 1000 for number, provider in enumerate(played.providers)}
    charged = sum(row["charged_nano"] for row in played.rows)
    answered = [got for got in played.got if got.error is None and got.raised is None]
    if fault.gets == "answer" and answered:
        each = cost_of[played.providers[-1].name] if fault.name == "accounts" else TOKEN
        if charged != len(played.got) * TOKENS * each:
            yield f"charged {charged / TOKEN:g} tokens' worth"
        if any(row["outcome"] != "completed" for row in played.rows):
            yield f"outcome {[row['outcome'] for row in played.rows]}"
        told = sum(round((got.bourse or {}).get("costUsd", 0) * 1e9) for got in answered)
        if told != charged:
            yield f"told {told} nano-dollars, charged {charged}"
    tries = [one for row in played.rows for one in row["tries"]]
    if len(tries) != played.asked:
        yield f"{len(tries)} attempts in the ledger, {played.asked} upstream"
    for provider in played.providers:
        cost = sum(one["provider_cost_nano"] for one in tries if one["provider"] == provider.name)
        unseen = TOKENS if fault.left_writing else 0
        if not 0 <= provider.generated - cost / cost_of[provider.name] <= unseen:
            yield f"{provider.name} will bill {provider.generated} tokens, the ledger says {cost / cost_of[provider.name]:g}"


def _usage(played: Played) -> Iterator[str]:
    """What a caller reads about its own calls is what the ledger says."""
    if len(played.usage) != len(played.got):
        yield f"{len(played.usage)} rows of /v1/usage for {len(played.got)} calls"
        return
    for got, told, row in zip(played.got, played.usage, played.rows, strict=True):
        if round((told["cost_usd"] or 0) * 1e9) != row["charged_nano"]:
            yield f"/v1/usage says ${told['cost_usd']}, the ledger {row['charged_nano']} nano-dollars"
        if told["attempts"] != len(row["tries"]) or told["outcome"] != row["outcome"]:
            yield f"/v1/usage says {told['outcome']} after {told['attempts']} attempts"
        if got.usage is not None and told["completion_tokens"] != got.usage["completion_tokens"]:
            yield f"/v1/usage says {told['completion_tokens']} tokens, the answer {got.usage['completion_tokens']}"
        if got.bourse is not None and told["provider"] != got.bourse["provider"]:
            yield f"/v1/usage says that {told['provider']} answered"


def _common(text: str) -> str:
    return next((TEXT[:end] for end in range(min(len(TEXT), len(text)), 0, -1) if text.startswith(TEXT[:end])), "")
