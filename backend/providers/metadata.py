"""Metadata of a protocol, of a provider and of a candidate, laid over one another."""

from collections.abc import Mapping
from typing import Any

AWS_ACCOUNT = (
    "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_profile", "aws_credential_source", "aws_role_arn",
    "aws_external_id", "aws_role_session_name",
)  # fmt: skip
"""What names an account: taken together, for the token of one with the key of another is nobody."""

PLAIN: Mapping[str, frozenset[str]] = {
    "anthropic": frozenset({"anthropic_version", "anthropic_beta"}),
    "azure": frozenset({"api_version", "tenant_id", "client_id", "authority", "scope"}),
    "bedrock": frozenset({
        "region", "anthropic_version", "anthropic_beta", "bedrock_chat_format", "bedrock_default_max_tokens", "bedrock_embedding_format",
        "bedrock_embed_dims", "bedrock_embed_input_type", "bedrock_embed_normalize", "bedrock_image_task_type", "bedrock_image_quality",
        "bedrock_image_cfg_scale", "bedrock_image_style", "bedrock_image_seed",
    }),
    "huggingface": frozenset({"embeddings_url", "normalize", "prompt_name", "truncate", "truncation_direction"}),
    "vertex": frozenset({"project", "location"}),
}  # fmt: skip
"""By protocol, what says nothing of an account or of what callers may read with it, and names no secret, file or identity of this machine:
what others than its operator may set."""


def laid_over(base: Mapping[str, Any], own: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """`own` where it says something, else `base`."""
    if not own:
        return base
    names_account = any(own.get(field) for field in AWS_ACCOUNT)
    return {name: value for name, value in base.items() if not (names_account and name in AWS_ACCOUNT)} | dict(own)
