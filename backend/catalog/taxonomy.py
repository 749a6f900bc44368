"""The vocabulary of the store: every word that a model or offer can be tagged with, and its label for people."""

CAPABILITIES: dict[str, str] = {
    "tools": "Tool calling",
    "parallel_tools": "Parallel tool calls",
    "vision": "Sees images",
    "reasoning": "Reasoning",
    "structured_output": "Structured output",
    "prompt_caching": "Prompt caching",
    "web_search": "Web search",
    "computer_use": "Computer use",
    "pdf_input": "Reads PDF",
    "audio_input": "Hears audio",
    "audio_output": "Speaks",
    "video_input": "Watches video",
    "url_context": "Reads URLs",
    "system_messages": "System messages",
    "assistant_prefill": "Answer prefill",
    "temperature": "Temperature control",
}

MODALITIES: dict[str, str] = {
    "text": "Text",
    "image": "Images",
    "audio": "Audio",
    "video": "Video",
    "pdf": "PDF",
    "embedding": "Embeddings",
}

MODES: dict[str, str] = {
    "chat": "Chat",
    "completion": "Completion",
    "embedding": "Embedding",
    "rerank": "Rerank",
    "image_generation": "Image generation",
    "image_edit": "Image editing",
    "video_generation": "Video generation",
    "audio_transcription": "Speech to text",
    "audio_speech": "Text to speech",
    "realtime": "Realtime voice",
    "moderation": "Moderation",
    "ocr": "Document reading",
    "search": "Search",
    "evaluation": "Decisions and grading",
    "extraction": "Extraction",
    "guardrail": "Guardrail",
    "vector_store": "Vector store",
}

STATUSES: dict[str, str] = {
    "active": "Active",
    "preview": "Preview",
    "deprecated": "Deprecated",
    "retired": "Retired",
}

FORMATS: dict[str, str] = {
    "text/plain": "Plain text",
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WebP",
    "audio/wav": "WAV",
    "audio/mpeg": "MP3",
    "video/mp4": "MP4",
    "application/pdf": "PDF",
    "application/json": "JSON",
}

FORMATS_OF_MODALITY: dict[str, tuple[str, ...]] = {
    "text": ("text/plain",),
    "image": ("image/png", "image/jpeg", "image/webp"),
    "audio": ("audio/wav", "audio/mpeg"),
    "video": ("video/mp4",),
    "pdf": ("application/pdf",),
}
"""The media types that every provider of the modality's models accepts; a source that says more is believed instead."""

MODALITIES_OF_MODE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "chat": (("text",), ("text",)),
    "completion": (("text",), ("text",)),
    "embedding": (("text",), ("embedding",)),
    "rerank": (("text",), ("text",)),
    "image_generation": (("text",), ("image",)),
    "image_edit": (("text", "image"), ("image",)),
    "video_generation": (("text",), ("video",)),
    "audio_transcription": (("audio",), ("text",)),
    "audio_speech": (("text",), ("audio",)),
    "realtime": (("text", "audio"), ("text", "audio")),
    "moderation": (("text",), ("text",)),
    "ocr": (("image", "pdf"), ("text",)),
    "search": (("text",), ("text",)),
    "evaluation": (("text",), ("text",)),
    "extraction": (("text", "pdf"), ("text",)),
    "guardrail": (("text",), ("text",)),
    "vector_store": (("text",), ("text",)),
}
"""What follows from the mode alone, used where no source states the modalities."""

MODE_OF_OUTPUT: dict[str, str] = {
    "image": "image_generation",
    "video": "video_generation",
    "audio": "audio_speech",
    "embedding": "embedding",
}
"""What a model is for that makes this and no text."""

MODE_OF_NAME: dict[str, str] = {
    "flux": "image_generation",
    "tts": "audio_speech",
    "melotts": "audio_speech",
    "embed": "embedding",
    "embedding": "embedding",
}
"""What a word of a model's name says of it."""


def is_guard(model_id: str) -> bool:
    """Whether a model judges texts and writes none, by its name, whatever mode it is listed under."""
    return "guard" in model_id or "shield" in model_id
