"""JSON from strangers: what is refused, what is kept, and that refusing costs nothing (case C5)."""

import json
import time
from collections.abc import Callable

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.kernel.errors import BadRequest
from backend.kernel.json import MAX_COMMAS, MAX_DEPTH, MAX_VALUES, dump_json, parse_json

# Text with the characters that a reader of JSON trips over, but no NUL: that is refused on purpose.
text = st.text(st.one_of(st.sampled_from('\\":,{}[] \n\t0'), st.characters(min_codepoint=1, exclude_categories=["Cs"])), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=20)

MILLION = 1_000_000
HOSTILE: dict[str, bytes | Callable[[], bytes]] = {
    "lists 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a body of opening brackets": b"[" * 20 * MILLION,
    "one level too deep": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    # Made where they are used: every process that collects tests would make them.
    "a million keys": lambda: json.dumps({f"k{number}": number for number in range(MILLION)}, separators=(",", ":")).encode(),
    "a million keys with spaces": lambda: json.dumps({f"k{number}": number for number in range(MILLION)}).encode(),
    "a million short texts": b'["a"' + b',"a"' * MILLION + b"]",
    "five million numbers": b"[1" + b",1" * 5 * MILLION + b"]",
    "a number of 10,000 digits": b'{"n":' + b"1" * 10_000 + b"}",
    "a body of digits": b"1" * 20 * MILLION,
    "an integer beyond 64 bits": b'{"n":9223372036854775808}',
    "a negative integer beyond 64 bits": b'{"n":-9223372036854775809}',
    "NaN": b'{"n":NaN}',
    "Infinity": b'{"n":Infinity}',
    "minus Infinity": b'{"n":-Infinity}',
    "1e999": b'{"n":1e999}',
    "one key twice": b'{"a":1,"a":2}',
    "one key twice in two spellings": b'{"a":1,"\\u0061":2}',
    "one key twice with spaces": b'{"a" :1,"a"\n:2}',
    "one key twice, deep inside": b'[{"x":{"a":1,"b":2,"a":3}}]',
    "one key twice behind backslashes": b'{"a\\\\":1,"a\\\\":2}',
    "a lone high surrogate": b'{"a":"\\ud800"}',
    "a lone low surrogate": b'{"a":"\\udc00"}',
    "an escaped NUL": b'{"a":"\\u0000"}',
    "an escaped NUL in a key": b'{"\\u0000":1}',
    "a bare NUL": b'{"a":"\x00"}',
    "a control character": b'{"a":"\x1f"}',
    "broken UTF-8": b'{"a":"\xff"}',
    "overlong UTF-8": b'{"a":"\xc0\x80"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "nothing": b"",
    "blanks": b" \n ",
    "two values": b"{}{}",
    "a trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "a comment": b"{} // done",
    "an endless text": b'{"a":"' + b"x" * MILLION,
    "quotes that never close": b'\\"' * 100_000 + b"," * 300_000,
    "a text of backslashes": b'{"a":"' + b"\\" * 999_999,
}


def processor_time(work: Callable[[], object]) -> float:
    """The least of three, in seconds of this thread."""
    spent = []
    for _ in range(3):
        begin = time.thread_time()
        work()
        spent.append(time.thread_time() - begin)
    return min(spent)


@pytest.fixture(scope="module")
def reading_as_many_keys_as_are_allowed() -> float:
    """What the standard library needs for it, in seconds: about 30 ms where a refusal takes 60 at the most (the case gives it 50)."""
    honest = json.dumps({f"k{number}": number for number in range(MAX_VALUES)})
    return processor_time(lambda: json.loads(honest))


@pytest.mark.case("C5")
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_a_bad_request_and_costs_little_time(
    body: bytes | Callable[[], bytes], reading_as_many_keys_as_are_allowed: float
) -> None:
    hostile = body if isinstance(body, bytes) else body()
    refusals = []

    def refuse() -> None:
        with pytest.raises(BadRequest) as refusal:
            parse_json(hostile)
        refusals.append(refusal.value)

    # A ratio in one run, so that a busy machine decides nothing.
    assert processor_time(refuse) < 5 * reading_as_many_keys_as_are_allowed
    assert {refusal.status for refusal in refusals} == {400}
    assert max(len(refusal.message) for refusal in refusals) < 300


def test_long_bodies_of_as_many_values_as_are_allowed_are_read() -> None:
    long = "x" * MAX_COMMAS
    for honest in (
        [long] + [","] * (MAX_VALUES - 2),
        [long] + ["a"] * (MAX_VALUES - 2),
        {long: "", **{f"{n},": "," for n in range(MAX_VALUES - 2)}},
    ):
        assert parse_json(json.dumps(honest, separators=(",", ":")).encode()) == honest


@given(values)
@example({'a\\"': 1, "b": ['":', '\\":', '"']})
@example({"\\": {"\\\\": {'\\"': '\\\\":'}}})
def test_every_honest_value_comes_through_unchanged(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False, indent=1).encode()) == value
    assert parse_json(orjson.dumps(value)) == value


@given(st.dictionaries(text, values, min_size=1, max_size=5), values, st.data())
def test_one_key_twice_is_always_noticed(honest: dict[str, object], other: object, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(honest)))
    pairs = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in honest.items()]
    pairs.insert(data.draw(st.integers(0, len(pairs))), f"{json.dumps(key)}{data.draw(st.sampled_from(['', ' ']))}:{json.dumps(other)}")
    with pytest.raises(BadRequest, match="same key twice"):
        parse_json(("[{" + ",".join(pairs) + "}]").encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_bad_request(body: bytes) -> None:
    try:
        parse_json(body)
    except BadRequest as refusal:
        assert refusal.status == 400  # noqa: PT017 - either outcome is right, another exception is not


def test_values_at_the_limits_are_welcome() -> None:
    assert parse_json(b'{"a":9223372036854775807,"b":-9223372036854775808}') == {"a": 2**63 - 1, "b": -(2**63)}
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert len(parse_json(b"[1" + b",1" * (MAX_VALUES - 100) + b"]")) == MAX_VALUES - 99


def test_a_long_text_full_of_punctuation_is_no_attack() -> None:
    prompt = '{"a": [1, 2, "\\"]}, ' * 50_000
    assert parse_json(json.dumps({"messages": [{"role": "user", "content": prompt}]}).encode())["messages"][0]["content"] == prompt


def test_digits_in_a_text_are_a_text() -> None:
    assert parse_json(b'{"a":"12345678901234567890123","b":1234567890.12345678901234567890}')["a"] == "12345678901234567890123"


def test_the_message_says_where_it_went_wrong_and_quotes_nothing() -> None:
    with pytest.raises(BadRequest) as refusal:
        parse_json(b'{"password":\n"secret" oops}')
    assert "line 2" in refusal.value.message
    assert "secret" not in refusal.value.message


@given(values)
def test_what_we_write_can_be_read(value: object) -> None:
    assert json.loads(dump_json(value)) == value
