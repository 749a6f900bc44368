"""The providers in force: those of the file, with what operators edited in the database over them, field by field.

Whoever edits the database need not be whoever wrote the file. So the key, the headers and the account that the file or the machine has go
nowhere but where the file says, and nothing in the database names a secret of the machine.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from backend.kernel.edits import Edits, as_written, over, refusal
from backend.kernel.errors import BadRequest
from backend.providers.destination import destination
from backend.providers.metadata import PLAIN
from backend.providers.registry import SANDBOX
from backend.settings import ProviderSettings, Settings

_KEYS = frozenset({"api_key", "api_keys"})
_KEY_HEADER = re.compile(r"(?:^|[-_])(?:auth\w*|token|secret|key|password|credentials?|cookie)(?:$|[-_])", re.IGNORECASE)
"""Names of headers that carry one, such as x-api-key, Ocp-Apim-Subscription-Key, CF-Access-Client-Secret."""


def merged(settings: Settings, edits: Mapping[str, Edits]) -> tuple[dict[str, ProviderSettings], dict[str, str]]:
    """Every provider, and for those whose edits cannot be used, a sentence why: what was valid once need not be any more. Such a one is
    there as the file has it."""
    file = settings.providers
    providers, troubles = dict(file), {}
    for name, fields in edits.items():
        try:
            providers[name] = edited(name, file.get(name), fields)
        except BadRequest as error:
            troubles[name] = error.message
    return providers, troubles


def edited(name: str, file: ProviderSettings | None, edits: Edits) -> ProviderSettings:
    """The settings of one provider.

    Raises:
        BadRequest: they cannot be; the message names the field.
    """
    _refuse_secrets(name, edits)
    try:
        provider = ProviderSettings.model_validate(over(file.model_dump() if file is not None else {}, edits))
    except ValidationError as error:
        raise refusal(error) from None
    if provider.protocol == "litellm" and (file is None or "metadata" in edits):
        raise BadRequest(
            "litellm makes connections of its own and looks for keys in the environment: it is set up in the configuration file alone.",
            param="protocol" if file is None else "metadata",
        )
    if file is not None and (provider.protocol, destination(provider)) != (file.protocol, destination(file)):
        field = next((field for field in ("base_url", "protocol") if getattr(provider, field) != getattr(file, field)), "metadata")
        raise BadRequest(
            f"The configuration file has {name!r} at {destination(file)}, and its key goes there alone: change the file, or add another "
            "provider.",
            param=field,
        )
    _check_metadata(provider, edits)
    if provider.protocol == SANDBOX and provider.base_url is not None:
        raise BadRequest("The sandbox is in this process: it has no base_url.", param="base_url")
    if name == SANDBOX and provider.protocol != SANDBOX:
        raise BadRequest(f"{SANDBOX!r} is the name of the simulated provider: take another one.", param="name")
    if provider.protocol == "bedrock" and file is None and provider.base_url is not None:
        raise BadRequest(
            "Calls to Bedrock are signed for the machine's own account where no key is stored, so another address than AWS's own is said "
            "in the configuration file alone.",
            param="base_url",
        )
    return provider


def addresses(provider: ProviderSettings) -> Iterator[tuple[str, str]]:
    """Each URL that it names, with its field."""
    if provider.base_url is not None:
        yield "base_url", provider.base_url
    for field in ("authority", "embeddings_url"):
        url = provider.metadata.get(field)
        if isinstance(url, str) and url:
            yield f"metadata.{field}", url


def shown(edits: Edits) -> dict[str, Any]:
    """Edits without what is for nobody to see: the values of headers."""
    headers = edits.get("headers")
    return {**edits, "headers": sorted(headers)} if isinstance(headers, Mapping) else dict(edits)


def told(provider: ProviderSettings, edits: Edits) -> dict[str, Any]:
    """A provider's settings as they would stand in the file, without its keys, and without what the file says in headers and metadata: some
    of that is for nobody to see."""
    whole: dict[str, Any] = as_written(provider, _KEYS)
    given = edits.get("metadata")
    given = given if isinstance(given, Mapping) else {}
    return {
        **whole,
        "headers": sorted(provider.headers),
        "metadata": {field: given.get(field, "as configured") for field in provider.metadata},
    }


def _refuse_secrets(name: str, edits: Edits) -> None:
    """Raises BadRequest: something in it is a key, or says where one is."""
    for field in _KEYS & edits.keys():
        raise BadRequest(f"Keys are not among the settings, they are stored encrypted: `provider add-key {name}`.", param=field)
    headers = edits.get("headers")
    for header in headers if isinstance(headers, Mapping) else ():
        if _KEY_HEADER.search(str(header)):
            raise BadRequest(
                f"The header {header} carries a key, which is stored encrypted (`provider add-key {name}`), or said in the file.",
                param="headers",
            )


def _check_metadata(provider: ProviderSettings, edits: Edits) -> None:
    """Raises BadRequest: its protocol has no such metadata, or none that others than the machine's operator may set."""
    given, known = edits.get("metadata"), PLAIN.get(provider.protocol, frozenset())
    for field in given if isinstance(given, Mapping) else ():
        if field not in known:
            has = f"there is {', '.join(sorted(known))}" if known else "that protocol has none"
            raise BadRequest(
                f"{field!r} is neither a setting of a provider nor metadata of {provider.protocol} that may be set here: {has}. What names "
                "an account, a file or an identity of the machine is said in the configuration file alone.",
                param=f"metadata.{field}",
            )
