"""Forms: written by others and by ourselves, damaged, and made to deceive."""

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateway.operations.form import MOST_FIELD_BYTES, MOST_PARTS, boundary_of, read_form, without_boundary
from backend.kernel.errors import BadRequest, UnsupportedEncoding
from backend.providers.openai_operations import form_data
from backend.providers.provider import Upload

TYPE = "multipart/form-data; boundary=xYz"
FILE = {"file": 1}
names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True).filter(lambda name: name != "file")
values = st.text(max_size=40).filter(lambda text: "\0" not in text)
filenames = st.text(st.characters(codec="utf-8", exclude_characters="\0\\", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


def part(head: str, data: bytes = b"x") -> bytes:
    return f"--xYz\r\n{head}\r\n\r\n".encode() + data + b"\r\n"


def named(name: str, more: str = "") -> str:
    return f'Content-Disposition: form-data; name="{name}"{more}'


@given(st.dictionaries(names, values, max_size=5), st.binary(max_size=200), filenames)
def test_what_httpx_writes_is_read(fields: dict[str, str], data: bytes, filename: str) -> None:
    request = httpx.Request("POST", "http://x/", data=fields, files={"file": (filename, data, "audio/wav")})
    found, [upload] = read_form(request.headers["content-type"], request.read(), FILE)
    assert found == fields
    assert (upload.data, upload.content_type) == (data, "audio/wav")


@given(st.dictionaries(names, st.one_of(values, st.lists(values, min_size=1, max_size=3)), max_size=5), st.binary(max_size=200), filenames)
def test_what_we_write_is_read(fields: dict[str, Any], data: bytes, filename: str) -> None:
    named_so = {f"{name}[]" if isinstance(value, list) else name: value for name, value in fields.items()}
    body = form_data(named_so, [Upload(filename, "audio/wav", data)], "xYz-0123456789")
    found, [upload] = read_form("multipart/form-data; boundary=xYz-0123456789", body, FILE)
    assert found == named_so
    assert (upload.data, upload.content_type) == (data, "audio/wav")


@given(st.lists(st.sampled_from([b"--xYz", b"\r\n", b"--", b"\r\n\r\n", named("a").encode(), b'; filename="f"', b"data", b"\xff", b":"])))
def test_any_pieces_of_a_form_are_a_form_or_a_400(pieces: list[bytes]) -> None:
    try:
        fields, _ = read_form(TYPE, b"".join(pieces), FILE)
    except BadRequest:
        return
    assert all(isinstance(value, (str, list)) for value in fields.values())


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([part("X: y")], id="no name"),
        pytest.param([part('Content-Disposition: attachment; name="a"')], id="no form-data"),
        pytest.param([part(named("a b"))], id="a name that is none"),
        pytest.param([part(named("a")), part(named("a"))], id="one name twice"),
        pytest.param([part(named("a"), b"\xff")], id="not UTF-8"),
        pytest.param([part(named("a"), b"\0")], id="NUL"),
        pytest.param([part(named("a"), b"x" * (MOST_FIELD_BYTES + 1))], id="a field as long as a file"),
        pytest.param([part(named("other", '; filename="f"'))], id="a file of another name"),
        pytest.param([part(named("file", '; filename="f"'))] * 2, id="two files"),
        pytest.param([part(named(f"a{number}")) for number in range(MOST_PARTS + 1)], id="too many parts"),
        pytest.param([b"--xYz\r\n" + b"x" * 5000 + b"\r\n\r\n"], id="a head without end"),
        pytest.param([b"--xYzz\r\n" + part(named("a"))[7:]], id="a longer boundary"),
    ],
)
def test_what_is_no_form_of_ours_is_a_400(parts: list[bytes]) -> None:
    with pytest.raises(BadRequest):
        read_form(TYPE, b"".join(parts) + b"--xYz--\r\n", FILE)


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x", "multipart/form-data;boundary="]
)
def test_what_is_no_form_at_all_is_a_415(kind: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        read_form(kind, b"--x--", FILE)


def test_boundaries_may_be_quoted_and_stand_behind_other_words() -> None:
    for kind in ('multipart/form-data; boundary="xYz"', "Multipart/Form-Data; charset=utf-8; boundary=xYz"):
        assert boundary_of(kind) == b"xYz"
        assert read_form(kind, part(named("a")) + b"--xYz--", FILE)[0] == {"a": "x"}


def test_a_preamble_and_an_epilogue_mean_nothing() -> None:
    assert read_form(TYPE, b"hello\r\n" + part(named("a")) + b"--xYz--\r\nbye", FILE)[0] == {"a": "x"}


def test_the_same_form_with_other_boundaries_is_the_same() -> None:
    first, second = [form_data({"a": "b"}, [Upload("f", "audio/wav", b"x")], boundary) for boundary in ("one", "another")]
    assert without_boundary("multipart/form-data; boundary=one", first) == without_boundary("multipart/form-data; boundary=another", second)
    assert without_boundary("application/json", first) == first


def test_a_filename_cannot_end_its_header() -> None:
    body = form_data({}, [Upload('a"\r\nx-evil: 1\r\n\r\n', "text/plain\r\nx-evil: 1", b"x")], "xYz")
    assert b"x-evil" not in body.split(b"\r\n\r\n")[0].split(b"\r\n")[2]
    _, [upload] = read_form(TYPE, body, FILE)
    assert (upload.content_type, upload.data) == ("application/octet-stream", b"x")


def test_files_have_the_names_and_numbers_that_an_operation_takes() -> None:
    sent = [Upload(f"{name}.png", "image/png", name.encode(), name) for name in ("image[]", "image[]", "mask")]
    body = form_data({"prompt": "x"}, sent, "xYz")
    assert read_form(TYPE, body, {"image": 2, "mask": 1}) == ({"prompt": "x"}, sent)
    for allowed in ({"image": 1, "mask": 1}, {"image": 2}, {"file": 1}):
        with pytest.raises(BadRequest, match="Files are sent in the field"):
            read_form(TYPE, body, allowed)
