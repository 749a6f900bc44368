import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.identity.keys import MalformedKey, ParsedKey, generate_key, has_valid_checksum, parse_key, secret_digest

PUBLIC_IDS = st.text("abcXYZ019-_", min_size=1, max_size=64)
SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=400)


def test_a_generated_key_reads_back_as_its_parts_and_carries_a_checksum() -> None:
    key = generate_key()
    assert parse_key(key.text) == key
    assert has_valid_checksum(key)


def test_two_generated_keys_differ_in_both_parts() -> None:
    one, other = generate_key(), generate_key()
    assert one.public_id != other.public_id
    assert one.secret != other.secret


@given(position=st.integers(0, 37))
def test_one_changed_character_breaks_the_checksum(position: int) -> None:
    key = generate_key()
    changed = "x" if key.secret[position] != "x" else "y"
    assert not has_valid_checksum(ParsedKey(key.public_id, key.secret[:position] + changed + key.secret[position + 1 :]))


def test_a_key_written_by_hand_is_taken_as_it_is() -> None:
    key = parse_key("sk-demo.my-secret")
    assert (key.public_id, key.secret) == ("demo", "my-secret")
    assert not has_valid_checksum(key)


@given(PUBLIC_IDS, SECRETS)
def test_every_key_of_the_form_reads_back(public_id: str, secret: str) -> None:
    assert parse_key(f"sk-{public_id}.{secret}") == ParsedKey(public_id, secret)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk-",
        "sk-demo",
        "sk-demo.",
        "sk-.secret",
        "demo.my-secret",
        "SK-demo.x",
        "sk-a b.c",
        "sk-a.b c",
        "sk-a.b\n",
        "sk-é.x",
        "sk-a.\x00",
    ],
)
def test_anything_else_is_malformed_and_the_error_does_not_repeat_it(text: str) -> None:
    with pytest.raises(MalformedKey) as caught:
        parse_key(text)
    assert "my-secret" not in str(caught.value)


def test_the_secret_stays_out_of_repr() -> None:
    assert "my-secret" not in repr(parse_key("sk-demo.my-secret"))


def test_what_is_stored_is_the_sha256_of_the_secret_alone() -> None:
    assert parse_key("sk-demo.my-secret").secret_sha256 == secret_digest("my-secret").hex()
    assert len(parse_key("sk-demo.my-secret").secret_sha256) == 64
