"""The skills that models are compared in. Cost and speed are none: they have their own places."""

SKILLS = (
    "coding",
    "reasoning",
    "knowledge",
    "maths",
    "multilingual",
    "vision",
    "tools",
    "instruction_following",
    "long_context",
    "hallucination",
    "speech",
    "embeddings",
)

GENERAL = frozenset(
    {"coding", "reasoning", "knowledge", "maths", "multilingual", "vision", "tools", "instruction_following", "long_context"}
)
"""Skills of language models that go together: an overall score is made of them. Hearing and embedding are trades of their own, and who
thinks longer does not invent less."""


def in_language(skill: str, language: str) -> str:
    """The name of a skill in one language: `multilingual:da`."""
    return f"{skill}:{language}"
