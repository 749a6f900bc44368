"""A `multipart/form-data` body that lies in memory (RFC 7578, RFC 2046): some short fields and files."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from backend.gateway.operations.operation import Asked, end_user_of, model_of
from backend.kernel.body import MAX_BODY_BYTES, read_body
from backend.kernel.errors import BadRequest, UnsupportedEncoding
from backend.kernel.request import Receive, Scope, header
from backend.providers.provider import Upload

MOST_PARTS = 64
MOST_FIELD_BYTES = 64 * 1024
_MOST_HEAD_BYTES = 4 * 1024
_BOUNDARY = re.compile(r""";\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;",]{1,70}))""", re.IGNORECASE)
_PARAMETER = re.compile(r""";\s*(name|filename)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))""", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}(?:\[\])?")
Fields = dict[str, str | list[str]]


def boundary_of(content_type: str) -> bytes | None:
    """What stands between the parts; None where the type is another one."""
    if not content_type.lower().startswith("multipart/form-data"):
        return None
    found = _BOUNDARY.search(content_type)
    return (found[1] or found[2]).encode("latin-1") if found else None


def without_boundary(content_type: str, data: bytes) -> bytes:
    """What two bodies have in common that are the same form: each client draws a boundary anew for every try."""
    boundary = boundary_of(content_type)
    return data.replace(boundary, b"") if boundary else data


class FormOperation(ABC):
    """What all do alike whose request is a form. `check` is theirs."""

    max_bytes = MAX_BODY_BYTES
    files: Mapping[str, int] = {}
    """The fields that are files, and how many of each there may be; `image` stands for `image[]`, too."""
    numbers: frozenset[str] = frozenset()
    """Fields that are whole numbers: in a form everything is text."""

    async def read(self, scope: Scope, receive: Receive) -> Asked:
        data = await read_body(scope, receive, max_bytes=self.max_bytes)
        fields, uploads = read_form(header(scope, b"content-type") or "", data, self.files)
        body: dict[str, Any] = dict(fields)
        for name in self.numbers & body.keys():
            with suppress(ValueError, TypeError):
                body[name] = int(body[name])
        asked = Asked(body, model_of(body), end_user_of(body), tuple(uploads))
        self.check(asked)
        return asked

    @abstractmethod
    def check(self, asked: Asked) -> None:
        """Raises BadRequest with `param`."""


def is_on(wish: Any) -> bool:
    """Whether a form's field switches something on, in any spelling."""
    return str(wish).lower() not in ("none", "false", "0", "no", "off", "")


def files_in(asked: Asked, name: str, what: str) -> list[Upload]:
    """The files of a field that must be there, none of them empty. `what`: to complete "Send …"."""
    found = [upload for upload in asked.uploads if upload.name.removesuffix("[]") == name]
    if not found or not all(upload.data for upload in found):
        raise BadRequest(f"Send {what} as a file in the field '{name}'.", param=name)
    return found


def read_form(content_type: str, data: bytes, files: Mapping[str, int]) -> tuple[Fields, list[Upload]]:
    """The fields, and the files. A field whose name ends in `[]` is a list.

    Args:
        files: the fields that are files, and how many of each there may be.

    Raises:
        UnsupportedEncoding: the body is no form.
        BadRequest: it is damaged, or holds what a form of ours does not.
    """
    boundary = boundary_of(content_type)
    if boundary is None:
        raise UnsupportedEncoding("Send multipart/form-data with a boundary.")
    fields: Fields = {}
    uploads: list[Upload] = []
    for head, begin, end in _parts(data, boundary):
        name, filename, kind = _about(head)
        if filename is not None:
            many = files.get(name.removesuffix("[]"), 0)
            if sum(upload.name == name for upload in uploads) >= many:
                told = " and ".join([f"'{field}' (up to {most})" if most > 1 else f"'{field}' (one)" for field, most in files.items()])
                raise BadRequest(f"Files are sent in the field {told}.", param=name)
            uploads.append(Upload(filename[:255] or "file", kind, data[begin:end], name))
            continue
        if end - begin > MOST_FIELD_BYTES:
            raise BadRequest(f"'{name}' is longer than {MOST_FIELD_BYTES:,} bytes.", param=name)
        try:
            value = data[begin:end].decode()
        except UnicodeDecodeError:
            raise BadRequest(f"'{name}' is not UTF-8.", param=name) from None
        if "\0" in value:
            raise BadRequest(f"'{name}' holds a NUL character.", param=name)
        _put(fields, name, value)
    return fields, uploads


def _put(fields: Fields, name: str, value: str) -> None:
    known = fields.get(name)
    if name.endswith("[]"):
        fields[name] = [*known, value] if isinstance(known, list) else [value]
    elif known is None:
        fields[name] = value
    else:
        raise BadRequest(f"'{name}' is there twice.", param=name)


def _parts(data: bytes, boundary: bytes) -> list[tuple[bytes, int, int]]:
    """The head of each part, and where what it holds begins and ends."""
    mark = b"\r\n--" + boundary
    # What stands before the first boundary means nothing, and mostly is not there.
    at = 2 + len(boundary) if data.startswith(mark[2:]) else data.find(mark) + len(mark)
    if at < len(mark) - 2:
        raise BadRequest("The form does not have the boundary that its type names.")
    found: list[tuple[bytes, int, int]] = []
    while data[at : at + 2] != b"--":
        line = data.find(b"\r\n", at, at + 256)
        head = data.find(b"\r\n\r\n", at, at + _MOST_HEAD_BYTES)
        if line < 0 or head < 0 or data[at:line].strip(b" \t"):
            raise BadRequest("The form is damaged.")
        end = data.find(mark, head + 2)
        if end < 0:
            raise BadRequest("The form is cut short.")
        if len(found) == MOST_PARTS:
            raise BadRequest(f"The form has more than {MOST_PARTS} parts.")
        found.append((data[line + 2 : head], head + 4, max(head + 4, end)))
        at = end + len(mark)
    return found


def _about(head: bytes) -> tuple[str, str | None, str]:
    """Name, file name and type of a part."""
    disposition, kind = "", "application/octet-stream"
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-disposition":
            disposition = value.strip()
        elif key.strip().lower() == "content-type":
            kind = value.strip()[:100]
    told = {match[1].lower(): match[3] or re.sub(r"\\(.)", r"\1", match[2] or "") for match in _PARAMETER.finditer(disposition)}
    name = told.get("name", "")
    if not disposition.lower().startswith("form-data") or not _NAME.fullmatch(name):
        raise BadRequest("A part of the form has no name that a field can have.")
    return name, told.get("filename"), kind
