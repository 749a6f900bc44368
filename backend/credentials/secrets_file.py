"""`secrets.yaml`: keys of providers by section, as Kubernetes and OpenBao write them out.

    openai: {api_key: "sk-..."}
    anthropic: {api_key: "sk-ant-..."}
    google: {api_key: "..."}
    aws: {access_key_id: "...", secret_access_key: "...", session_token: "...", region: us-east-1}
    azure: {api_key: "...", endpoint: https://NAME.openai.azure.com}

A section serves the provider of its name, and the vendor's section every provider of that vendor's protocol that goes to the vendor's own
servers. Where the configuration has no provider for a vendor's section, the section alone makes one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import yaml

from backend.kernel.setting_types import is_slug

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST_BYTES = 1024 * 1024
AWS_METADATA = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}
"""The parts of an AWS key, and what a provider's metadata calls them."""


class SecretsFileWrong(Exception):
    """The file is there and cannot be used. The text is for operators and repeats nothing of it."""


class Vendor(NamedTuple):
    """What a section stands for where nothing else is said: the provider's name as the catalog has it, its protocol, and its address."""

    provider: str
    protocol: str
    base_url: str | None = None
    needs_address: bool = False
    """The section has to say where it is."""


VENDORS = {
    "openai": Vendor("openai", "openai", "https://api.openai.com/v1"),
    "anthropic": Vendor("anthropic", "anthropic"),
    "google": Vendor("gemini", "gemini"),
    "aws": Vendor("bedrock", "bedrock"),
    "azure": Vendor("azure", "azure", needs_address=True),
}


@dataclass(frozen=True, slots=True)
class Section:
    """`keys` are values by name; of AWS a JSON object of the three parts."""

    name: str
    keys: Mapping[str, str]
    region: str | None = None
    endpoint: str | None = None

    def __repr__(self) -> str:
        return f"Section({self.name}: {', '.join(self.keys)})"


def read_secrets(file: Path) -> dict[str, Section]:
    """The sections by name; none where there is no file.

    Raises:
        SecretsFileWrong: it cannot be read, or is no mapping of mappings.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise SecretsFileWrong(f"{file} is larger than 1 MiB")
        given = yaml.load(file.read_text(), _Loader)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SecretsFileWrong(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    except yaml.YAMLError as error:
        # Its words may quote the line, which may hold a key.
        mark = getattr(error, "problem_mark", None)
        raise SecretsFileWrong(f"{file}{f':{mark.line + 1}' if mark else ''} is not valid YAML") from None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise SecretsFileWrong(f"{file} must be a mapping of sections")
    return {str(name): _section(file, str(name), fields) for name, fields in given.items()}


def _section(file: Path, name: str, given: Any) -> Section:
    if not isinstance(given, dict):
        raise SecretsFileWrong(f"{file}: the section {name!r} must be a mapping such as {{api_key: ...}}")
    fields = {str(field): str(value) for field, value in given.items() if isinstance(value, str | int) and str(value).strip()}
    keys = {"default": fields["api_key"].strip()} if "api_key" in fields else {}
    more = given.get("api_keys")
    if isinstance(more, dict):
        if not all(is_slug(str(key)) for key in more):
            raise SecretsFileWrong(f"{file}: names of keys in the section {name!r} have lower-case letters, digits, '-' and '_' alone")
        keys |= {str(key): str(value).strip() for key, value in more.items() if isinstance(value, str) and value.strip()}
    if "access_key_id" in fields and "secret_access_key" in fields:
        keys = {"default": orjson.dumps({part: fields[part].strip() for part in AWS_METADATA if part in fields}).decode()} | keys
    return Section(name, keys, fields.get("region"), fields.get("endpoint") or fields.get("base_url"))


def section_for(sections: Mapping[str, Section], provider: str, protocol: str, *, own_servers: bool) -> Section | None:
    """The section that serves a provider.

    Args:
        own_servers: it goes to its vendor's servers and nowhere else; only then it gets what is the vendor's.
    """
    if provider in sections:
        return sections[provider]
    if not own_servers:
        return None
    return next((sections[name] for name, vendor in VENDORS.items() if vendor.protocol == protocol and name in sections), None)
