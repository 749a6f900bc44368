"""Master keys: what seals the provider keys that are stored, each as its own row.

`secret_key` (or a file that `secret_key_file` names) seals; `secret_key_previous` only opens, so that the key can be changed while
everything runs. What is used is derived from the text (HKDF, a label for each purpose), never the text itself. Where nothing is set,
development makes a key of its own beside its database when the first secret is stored; production refuses to store any.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from backend.kernel.errors import BadRequest
from backend.kernel.sealing import seal, unsealed
from backend.kernel.secrets import SecretUnavailable
from backend.settings import Settings

FILE = "secret.key"
LEAST_SIGNS = 32
_SEALING = b"bourse/provider-keys/v1"
_CONTENTS = b"bourse/contents/v1"
_NAMING = b"bourse/master-name/v1"


class MasterKeyWrong(Exception):
    """The master key that is configured cannot be used, or is not the one that secrets were stored under. The text is for operators."""


@dataclass(frozen=True, slots=True)
class Row:
    """Where a secret stands. Moved to another row, tenant, provider, destination or column it does not open."""

    id: str
    tenant_id: str | None
    provider: str
    origin: str
    table: str = "provider_key"
    column: str = "sealed"

    @property
    def bound_to(self) -> bytes:
        parts = (self.tenant_id or "", self.table, self.column, self.id, self.provider, self.origin)
        return b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)


class MasterKey:
    """One of them. `name` says which, and nothing about it; `contents` seals what callers leave here, 32 bytes."""

    __slots__ = ("_key", "contents", "name")

    def __init__(self, text: str) -> None:
        self._key = _derived(text, _SEALING, 32)
        self.contents = _derived(text, _CONTENTS, 32)
        self.name = _derived(text, _NAMING, 8).hex()

    def __repr__(self) -> str:
        return f"MasterKey({self.name})"

    def seal(self, value: str, row: Row) -> bytes:
        return seal(self._key, value.encode(), compress=False, bound_to=row.bound_to)

    def unsealed(self, sealed: bytes, row: Row) -> str | None:
        """None where it was not sealed by this key for this row."""
        data = unsealed(self._key, sealed, bound_to=row.bound_to)
        return data.decode() if data is not None else None


class MasterKeys:
    """Those of this process.

    Raises:
        MasterKeyWrong: one that is configured cannot be read, or is too short to protect anything.
    """

    def __init__(self, settings: Settings) -> None:
        self._own_file = settings.data_dir / FILE
        self._is_production = settings.is_production
        self._first = _configured(settings)
        self._previous: MasterKey | None = None
        if settings.secret_key_previous is not None:
            self._previous = _checked(_read(settings.secret_key_previous.resolve, "secret_key_previous"), "secret_key_previous")

    @property
    def first(self) -> MasterKey | None:
        """What seals; None where none is set and none was made yet."""
        if self._first is None and not self._is_production and self._own_file.is_file():
            self._first = _checked(_read(self._own_file.read_text, FILE), FILE)
        return self._first

    def known(self, name: str) -> MasterKey | None:
        """The key of that name, if it is here."""
        return next((key for key in (self.first, self._previous) if key is not None and key.name == name), None)

    def to_seal(self) -> MasterKey:
        """What seals, made if need be.

        Raises:
            BadRequest: production has none.
        """
        if self.first is None:
            if self._is_production:
                raise BadRequest("Keys are stored encrypted, and there is no master key: set BOURSE_SECRET_KEY or BOURSE_SECRET_KEY_FILE.")
            self._make()
        assert self.first is not None
        return self.first

    def _make(self) -> None:
        """Complete before it has its name, so that nobody reads half a key; who comes second takes the one that is there."""
        self._own_file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._own_file.with_name(f"{FILE}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, self._own_file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()


def _configured(settings: Settings) -> MasterKey | None:
    if settings.secret_key is not None and settings.secret_key_file is not None:
        raise MasterKeyWrong("secret_key and secret_key_file are both set: name one")
    if settings.secret_key is not None:
        return _checked(_read(settings.secret_key.resolve, "secret_key"), "secret_key")
    if settings.secret_key_file is not None:
        return _checked(_read(settings.secret_key_file.read_text, "secret_key_file"), "secret_key_file")
    return None


def _read(read: Callable[[], str], what: str) -> str:
    try:
        return read().strip()
    except SecretUnavailable as error:
        raise MasterKeyWrong(f"{what}: {error}") from None
    except OSError as error:
        raise MasterKeyWrong(f"{what} cannot be read: {error.strerror}") from None


def _checked(text: str, what: str) -> MasterKey:
    if len(text) < LEAST_SIGNS:
        raise MasterKeyWrong(f"{what} needs at least {LEAST_SIGNS} signs, such as `openssl rand -base64 32` makes")
    return MasterKey(text)


def _derived(text: str, label: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # only who has a secret pays for it
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, None, label).derive(text.encode())
