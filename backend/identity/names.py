"""One canonical form for what people type: e-mail addresses, slugs, display names. Two spellings of the same name are one name.

Everything is compared and stored in this form, so uniqueness means the same on SQLite and PostgreSQL.
"""

import re
import unicodedata
from collections.abc import Sequence

import idna

from backend.kernel.errors import BadRequest

MAX_NAME_LENGTH = 255
AUTO = "auto"
"""What callers send as the model for their tenant's default."""
_MOST_MODELS = 1000
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LOCAL_PART = re.compile(r"[^\s@\"(),:;<>\[\\\]]{1,64}")


def canonical_email(text: str) -> str:
    """NFKC, case-folded, the domain in ASCII (IDNA): `Jörg@EXAMPLE.org` and `jörg@example.org` are one account.

    Raises:
        BadRequest: it is no e-mail address.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).strip().casefold())
    local, at, domain = folded.rpartition("@")
    if not at or _has_invisible(folded) or not _LOCAL_PART.fullmatch(local):
        raise BadRequest("That is not an e-mail address.", param="email")
    try:
        host = idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise BadRequest("That is not an e-mail address.", param="email") from None
    email = f"{local}@{host}"
    if len(email) > 254:
        raise BadRequest("That e-mail address is too long.", param="email")
    return email


def canonical_slug(text: str) -> str:
    """Lower case letters, digits, `-` and `_`, at most 63, the first a letter or digit.

    Raises:
        BadRequest: it is not of that form after folding case.
    """
    slug = unicodedata.normalize("NFKC", text).strip().casefold()
    if not _SLUG.fullmatch(slug):
        raise BadRequest("A slug is made of the letters a-z, digits, '-' and '_', and has at most 63 of them.", param="slug")
    return slug


def canonical_tier(text: str | None) -> str | None:
    """A tier such as `free` or `premium`: a word of the form of a slug, or None for none.

    Raises:
        BadRequest: it is not of that form after folding case.
    """
    if text is None:
        return None
    tier = unicodedata.normalize("NFKC", text).strip().casefold()
    if not _SLUG.fullmatch(tier):
        raise BadRequest("A tier is a word of the letters a-z, digits, '-' and '_', such as free or premium.", param="tier")
    return tier


def model_name(name: str) -> str:
    """A name that a call could send as `model`.

    Raises:
        BadRequest: no call could.
    """
    if not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise BadRequest(f"The name of a model has 1 to {MAX_NAME_LENGTH} visible characters.", param="model")
    return name


def canonical_name(text: str, *, param: str = "name") -> str:
    """A display name: NFC, trimmed, inner white space single, without control or invisible formatting characters, 1 to 255 characters.

    Raises:
        BadRequest: it is empty, too long, or holds characters that nobody can see.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > MAX_NAME_LENGTH or _has_invisible(name):
        raise BadRequest(f"A name has 1 to {MAX_NAME_LENGTH} visible characters.", param=param)
    return name


def allowed_names(names: Sequence[str] | None) -> list[str] | None:
    """The model names that a tenant or key may use, each once; None = all.

    Raises:
        BadRequest: too many, or one that no call could name.
    """
    if names is None:
        return None
    if len(names) > _MOST_MODELS or any(not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable() for name in names):
        raise BadRequest(f"A list of models has at most {_MOST_MODELS} names of 1 to {MAX_NAME_LENGTH} visible characters.", param="models")
    return list(dict.fromkeys(names))


def _has_invisible(text: str) -> bool:
    """Control, format (zero-width, direction), surrogate, private and unassigned characters, even a joiner inside an emoji."""
    return any(unicodedata.category(character)[0] == "C" for character in text)
