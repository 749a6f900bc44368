"""Metadata of a protocol, of a provider and of a candidate, laid over one another."""

from collections.abc import Mapping
from typing import Any

AWS_ACCOUNT = (
    "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_profile", "aws_credential_source", "aws_role_arn",
    "aws_external_id", "aws_role_session_name",
)  # fmt: skip
"""What names an account: taken together, for the token of one with the key of another is nobody."""


def laid_over(base: Mapping[str, Any], own: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """`own` where it says something, else `base`."""
    if not own:
        return base
    names_account = any(own.get(field) for field in AWS_ACCOUNT)
    return {name: value for name, value in base.items() if not (names_account and name in AWS_ACCOUNT)} | dict(own)
