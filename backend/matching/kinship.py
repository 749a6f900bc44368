"""Which models are one to somebody who chooses: dated snapshots, thinking modes and batch rows of the same name."""

import re

_DATE = re.compile(
    r"-(?:20\d{2}-?(?:0\d|1[0-2])-?(?:[0-2]\d|3[01])|2[3-9](?:0\d|1[0-2])|(?:0\d|1[0-2])-?(?:[0-2]\d|3[01])(?:-20\d{2})?|(?:0\d|1[0-2])-20\d{2})(?=-|$)"
)
_SUFFIX = re.compile(
    r"-(?:batch|latest|preview|exp|experimental|thinking|think|non-thinking|nonthinking|non-reasoning|reasoning|free|beta|original|"
    r"instruct|chat|it|hf|fp8|fp16|bf16|awq|gguf|int4|int8|maas|tee|turbo-tee|customtools|ga|v\d+-\d+|00\d|"
    r"low|medium|high|xhigh|minimal|max-effort)$"
)
_PREFIX = re.compile(r"^(?:ft-|databricks-|hf-|duo-chat-|openai-|anthropic-|google-|meta-|mistralai-|deepseek-ai-|zai-org-|moonshotai-)")


def plain_name(model_id: str) -> str:
    """As `kin` spells it, nothing left out: the same as its kin where it is the plain one of them."""
    return model_id.lower().replace(".", "-").replace("_", "-").replace(":", "-")


def kin(model_id: str) -> str:
    """The same text for models that are shown once: `gpt-4o-2024-08-06`, `gpt-4o-batch` and `gpt-4o` are `gpt-4o`."""
    name = plain_name(model_id)
    shorter = _PREFIX.sub("", name)
    shorter = _DATE.sub("", shorter)
    while (cut := _DATE.sub("", _SUFFIX.sub("", shorter))) != shorter and cut:
        shorter = cut
    return shorter or name
