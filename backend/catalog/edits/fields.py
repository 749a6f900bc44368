"""What an operator may say of a model and of an offer, in the names that reads answer with, and which columns that is."""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from backend.catalog.languages import TAG
from backend.catalog.taxonomy import CAPABILITIES, MODALITIES, MODES, STATUSES
from backend.kernel.asked import Asked, Day

_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn"})
_Words = Annotated[list[str], Field(max_length=64)]


def _clean(text: str) -> str:
    """One form (NFC) without spaces at the ends; control characters are refused."""
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise ValueError("a text cannot be empty: null says that nobody knows")
    if any(unicodedata.category(c) in _UNSEEN and c not in "\n\t" for c in text):
        raise ValueError("a text cannot hold control characters")
    return text


def _line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise ValueError("this is one line")
    return _clean(text)


def _of(known: dict[str, str], what: str) -> Any:
    def check(words: list[str]) -> list[str]:
        strange = [word for word in words if word not in known]
        if strange:
            raise ValueError(f"{strange[0][:60]!r} is no {what}; known: {', '.join(known)}")
        return [word for word in known if word in set(words)]

    return AfterValidator(check)


def _tags(words: list[str]) -> list[str]:
    for word in words:
        if TAG.fullmatch(word) is None:
            raise ValueError(f"{word[:60]!r} is no BCP 47 language tag, such as de or pt-BR")
    return sorted(set(words))


_Line = AfterValidator(_line)
_Slug = r"^[a-z0-9][a-z0-9._-]*$"

_MODEL: dict[str, Any] = {"name": "Acme Large", "provider": "acme", "capabilities": ["tools"], "contextTokens": 128_000}
_CHANGE: dict[str, Any] = {"description": "Our own.", "languages": ["de", "en"], "releaseDate": "2026-01-31"}
_OFFER: dict[str, Any] = {"provider": "acme", "upstreamId": "acme-large"}


class ModelFields(Asked):
    """All of them may be left out. null says that nobody knows."""

    name: Annotated[str, Field(max_length=255), _Line] = ""
    provider: Annotated[str | None, Field(max_length=64, pattern=_Slug, description="who made it, as a slug: openai, meta")] = None
    family: Annotated[str, Field(max_length=120), _Line] | None = None
    description: Annotated[str, Field(max_length=4000), AfterValidator(_clean)] | None = None
    mode: Annotated[str, Field(json_schema_extra={"enum": list(MODES)})] = "chat"
    capabilities: Annotated[_Words, _of(CAPABILITIES, "capability"), Field(description="what it can; the others it cannot")] = []
    modalities: Annotated[_Words, _of(MODALITIES, "modality")] = []
    modalitiesOut: Annotated[_Words, _of(MODALITIES, "modality")] = []
    supportedFormats: Annotated[
        list[Annotated[str, Field(max_length=100, pattern=r"^[a-z]+/[a-z0-9][a-z0-9.+-]*$")]],
        Field(max_length=64, description="media types"),
    ] = []
    languages: Annotated[_Words, AfterValidator(_tags), Field(description="BCP 47 tags")] = []
    contextTokens: Annotated[int | None, Field(ge=1, le=10**9)] = None
    maxOutputTokens: Annotated[int | None, Field(ge=1, le=10**9)] = None
    releaseDate: Day | None = None
    knowledgeCutoff: Annotated[str | None, Field(pattern=r"^\d{4}(-\d{2}){0,2}$")] = None
    deprecationDate: Day | None = None
    status: Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)})] = "active"
    deprecated: Annotated[bool, Field(description="the same as a status of deprecated or active; give one of the two")] = False
    openWeights: bool | None = None
    licence: Annotated[str, Field(max_length=120), _Line] | None = None

    def columns(self) -> dict[str, Any]:
        """What was said, by column.

        Raises:
            ValueError: a word is not known, or two fields contradict each other.
        """
        said = self.model_fields_set & COLUMN_OF.keys()
        found = {COLUMN_OF[name]: getattr(self, name) for name in said}
        for name, known in (("mode", MODES), ("status", STATUSES)):
            if name in found and found[name] not in known:
                raise ValueError(f"{name}: must be one of {', '.join(known)}")
        if "deprecated" in self.model_fields_set:
            status = found.setdefault("status", "deprecated" if self.deprecated else "active")
            if self.deprecated != (status in ("deprecated", "retired")):
                raise ValueError("deprecated: says something else than status does")
        return found


COLUMN_OF = {
    "name": "name", "provider": "creator", "family": "family", "description": "description", "mode": "mode", "capabilities": "capabilities",
    "modalities": "modalities_in", "modalitiesOut": "modalities_out", "supportedFormats": "supported_formats", "languages": "languages",
    "contextTokens": "context_tokens", "maxOutputTokens": "max_output_tokens", "releaseDate": "release_date",
    "knowledgeCutoff": "knowledge_cutoff", "deprecationDate": "deprecation_date", "status": "status", "openWeights": "open_weights",
    "licence": "licence",
}  # fmt: skip
FIELD_OF = {column: field for field, column in COLUMN_OF.items()}


class NewModel(ModelFields):
    model_config = ConfigDict(json_schema_extra={"example": _MODEL})

    id: Annotated[str | None, Field(max_length=200, description="a slug; made of the name where it is missing")] = None
    name: Annotated[str, Field(max_length=255), _Line]


class WholeModel(ModelFields):
    """Everything that an operator says of the model: what is missing is as the sources say."""

    model_config = ConfigDict(json_schema_extra={"example": _CHANGE})

    version: Annotated[int | None, Field(ge=0, description="as read; the change is refused if it has moved")] = None


class ModelChange(ModelFields):
    model_config = ConfigDict(json_schema_extra={"example": _CHANGE})

    version: Annotated[int | None, Field(ge=0, description="as read; the change is refused if it has moved")] = None
    reset: Annotated[
        list[Literal[tuple(COLUMN_OF)]],  # type: ignore[valid-type]
        Field(max_length=len(COLUMN_OF), description="fields to take back: the sources decide them again"),
    ] = []
    hidden: Annotated[bool | None, Field(description="false brings back a model that was deleted")] = None


class NewOffer(Asked):
    model_config = ConfigDict(json_schema_extra={"example": _OFFER})

    provider: Annotated[str, Field(max_length=63, pattern=_Slug, description="the provider's id: acme")]
    upstreamId: Annotated[str, Field(max_length=190, pattern=r"^\S+$", description="what the provider calls the model"), _Line]
    region: Annotated[str, Field(max_length=64), _Line] | None = None
    contextTokens: Annotated[int | None, Field(ge=1, le=10**9)] = None
    maxOutputTokens: Annotated[int | None, Field(ge=1, le=10**9)] = None
