"""Which calls are the same: the key under which an answer is kept, and the calls that have none."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from backend.gateway.call import Call
from backend.gateway.unbounded_fields import unbounded_fields

_FORM = 2
"""Of what is hashed, and of what is kept under it. Another number, and nothing of what was kept is found."""
_WITHOUT_PART_IN_THE_ANSWER = frozenset(
    {
        "model",  # the route stands for it
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "metadata",
        "store",
        "prompt_cache_key",
        "prompt_cache_retention",
    }
)


def key_of(call: Call, servers: Mapping[str, str], generation: tuple[int, int]) -> bytes:
    """The full SHA-256 of whose the call is, who may answer it, and every field that has a part in the answer.

    Args:
        servers: what a provider's name stands for at present: its protocol and address.
        generation: moves on when what was kept is to be found no more.
    """
    route = call.route
    assert route is not None
    # Sorted: a weighted route asks the same candidates in another order each time.
    asked = sorted({(candidate.provider, candidate.model, servers.get(candidate.provider, "")) for candidate in call.candidates})
    body = {name: value for name, value in call.body.items() if name not in _WITHOUT_PART_IN_THE_ANSWER and value is not None}
    whole = [_FORM, generation, call.record.tenant_id, route.name, route.max_output_tokens, route.drops, asked, body]
    return sha256(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)).digest()


def wants_more_than_an_answer(body: Mapping[str, Any]) -> bool:
    """The call is to do something, or looks at the world of today; or it is answered in sound, which providers refer to by ids that
    expire."""
    return bool(body.get("store") or body.get("audio") or unbounded_fields(body))
