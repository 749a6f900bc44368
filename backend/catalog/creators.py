"""Who made a model, told from its name or from the maker's part of an upstream id."""

import re

CREATORS: dict[str, str] = {
    "openai": "OpenAI", "anthropic": "Anthropic", "google": "Google", "meta": "Meta", "mistral": "Mistral AI", "deepseek": "DeepSeek",
    "alibaba": "Alibaba", "xai": "xAI", "moonshot": "Moonshot AI", "zai": "Z.ai", "minimax": "MiniMax", "cohere": "Cohere",
    "amazon": "Amazon", "microsoft": "Microsoft", "nvidia": "NVIDIA", "ai21": "AI21 Labs", "ibm": "IBM", "perplexity": "Perplexity",
    "black-forest-labs": "Black Forest Labs", "stability": "Stability AI", "bytedance": "ByteDance", "xiaomi": "Xiaomi",
    "voyage": "Voyage AI", "nous": "Nous Research", "databricks": "Databricks", "writer": "Writer", "01-ai": "01.AI",
    "deepgram": "Deepgram", "elevenlabs": "ElevenLabs", "tencent": "Tencent", "baidu": "Baidu", "stepfun": "StepFun",
    "snowflake": "Snowflake",
    "inception": "Inception", "upstage": "Upstage", "reka": "Reka", "liquid": "Liquid AI", "allenai": "Ai2", "inclusionai": "inclusionAI",
    "bourse": "Bourse (simulated)", "core42": "Core42", "arcee": "Arcee AI", "tii": "TII", "recraft": "Recraft", "runway": "Runway",
    "luma": "Luma AI", "twelvelabs": "TwelveLabs", "jina": "Jina AI", "baai": "BAAI", "assemblyai": "AssemblyAI", "kuaishou": "Kuaishou",
}  # fmt: skip

_MAKERS = {
    "openai": "openai", "anthropic": "anthropic", "google": "google", "meta": "meta", "meta-llama": "meta", "meta_llama": "meta",
    "mistral": "mistral", "mistralai": "mistral", "codestral": "mistral", "deepseek": "deepseek", "deepseek-ai": "deepseek",
    "qwen": "alibaba", "alibaba": "alibaba", "dashscope": "alibaba", "x-ai": "xai", "xai": "xai", "moonshotai": "moonshot",
    "moonshot": "moonshot", "zai": "zai", "z-ai": "zai", "zai-org": "zai", "thudm": "zai", "zhipuai": "zai", "minimax": "minimax",
    "minimaxai": "minimax", "cohere": "cohere", "coherelabs": "cohere", "amazon": "amazon", "amazon_nova": "amazon",
    "microsoft": "microsoft",
    "nvidia": "nvidia", "ai21": "ai21", "ai21labs": "ai21", "ibm": "ibm", "ibm-granite": "ibm", "perplexity": "perplexity",
    "black-forest-labs": "black-forest-labs", "black_forest_labs": "black-forest-labs", "stability": "stability",
    "stabilityai": "stability",
    "bytedance": "bytedance", "bytedance-seed": "bytedance", "xiaomi": "xiaomi", "xiaomi_mimo": "xiaomi", "voyage": "voyage",
    "nousresearch": "nous", "databricks": "databricks", "writer": "writer", "01-ai": "01-ai", "deepgram": "deepgram",
    "elevenlabs": "elevenlabs", "tencent": "tencent", "baidu": "baidu", "stepfun": "stepfun", "stepfun-ai": "stepfun",
    "snowflake": "snowflake",
    "inception": "inception", "upstage": "upstage", "liquid": "liquid", "allenai": "allenai", "inclusionai": "inclusionai",
    "core42": "core42", "arcee-ai": "arcee", "tiiuae": "tii", "recraft": "recraft", "runwayml": "runway", "twelvelabs": "twelvelabs",
    "jina_ai": "jina", "baai": "baai", "assemblyai": "assemblyai", "gemini": "google", "sandbox": "bourse", "fal-ai": "", "luma": "luma",
}  # fmt: skip

_NAMES = (
    (r"gpt|chatgpt|codex|o[134](?:-|$)|dall-e|whisper|tts-1|text-embedding-(?:3|ada)|davinci|babbage|sora|omni-moderation|computer-use",
     "openai"),
    (r"claude", "anthropic"),
    (r"gemini|gemma|imagen|veo-|palm|text-bison|chat-bison|codechat|text-unicorn|learnlm|nano-banana|lyria|chirp|medgemma|textembedding-gecko|"
     r"text-embedding-00|text-multilingual|multimodalembedding|deep-research-(?:pro|max)", "google"),
    (r"deepseek", "deepseek"),
    (r"nemotron|nv-|nvidia", "nvidia"),
    (r"hermes", "nous"),
    (r"llama|codellama|muse-spark", "meta"),
    (r"mistral|mixtral|ministral|codestral|magistral|devstral|pixtral|voxtral|leanstral|open-mi", "mistral"),
    (r"qwen|qwq|qvq|wan\d|tongyi", "alibaba"),
    (r"grok", "xai"),
    (r"kimi|moonshot", "moonshot"),
    (r"glm|chatglm|cogview|cogvideo", "zai"),
    (r"minimax|abab|hailuo", "minimax"),
    (r"command|c4ai|aya-|embed-(?:english|multilingual|v)|rerank-(?:v\d|english|multilingual)|north-", "cohere"),
    (r"nova-(?:micro|lite|pro|premier|canvas|reel|sonic|act|2-(?:lite|pro|sonic|omni|multimodal))|titan|amazon", "amazon"),
    (r"phi-?\d|mai-|wizardlm", "microsoft"),
    (r"jamba|j2-|jurassic", "ai21"),
    (r"granite", "ibm"),
    (r"sonar|pplx", "perplexity"),
    (r"flux", "black-forest-labs"),
    (r"stable-|sd3|sdxl|stability", "stability"),
    (r"doubao|seed|seedance|seedream|ui-tars", "bytedance"),
    (r"mimo", "xiaomi"),
    (r"voyage", "voyage"),
    (r"dbrx|dolly", "databricks"),
    (r"palmyra", "writer"),
    (r"yi-", "01-ai"),
    (r"ernie", "baidu"),
    (r"hunyuan|hy\d", "tencent"),
    (r"step-", "stepfun"),
    (r"arctic", "snowflake"),
    (r"mercury", "inception"),
    (r"solar-", "upstage"),
    (r"lfm", "liquid"),
    (r"olmo|molmo|tulu", "allenai"),
    (r"jais", "core42"),
    (r"falcon", "tii"),
    (r"ling-|ring-", "inclusionai"),
    (r"kling", "kuaishou"),
    (r"bge-", "baai"),
)  # fmt: skip
_COMPILED = tuple((re.compile(rf"(?:^|-)(?:{pattern})"), creator) for pattern, creator in _NAMES)

PROMINENCE: dict[str, int] = {
    "openai": 30, "anthropic": 30, "google": 30, "meta": 24, "deepseek": 26, "mistral": 24, "alibaba": 24, "xai": 24, "moonshot": 20,
    "zai": 18, "minimax": 16, "cohere": 16, "amazon": 16, "microsoft": 14, "nvidia": 14, "perplexity": 12, "ibm": 10, "ai21": 8,
}  # fmt: skip
"""How well known a maker is, for the order "relevance" only: the first screen of the store should be recognised."""

FIRST_PARTY: dict[str, str] = {
    "openai": "openai", "anthropic": "anthropic", "gemini": "google", "vertex_ai": "google", "meta_llama": "meta", "meta": "meta",
    "mistral": "mistral", "codestral": "mistral", "deepseek": "deepseek", "dashscope": "alibaba", "qwencloud": "alibaba",
    "qwen_ai_platform": "alibaba", "alibaba-cn": "alibaba", "xai": "xai", "moonshot": "moonshot", "zai": "zai", "zhipuai": "zai",
    "minimax": "minimax", "cohere": "cohere", "bedrock": "amazon", "amazon_nova": "amazon", "azure_ai": "microsoft", "nvidia_nim": "nvidia",
    "ai21": "ai21", "watsonx": "ibm", "perplexity": "perplexity", "black_forest_labs": "black-forest-labs", "stability": "stability",
    "volcengine": "bytedance", "xiaomi_mimo": "xiaomi", "voyage": "voyage", "databricks": "databricks", "deepgram": "deepgram",
    "elevenlabs": "elevenlabs", "tencent": "tencent", "snowflake": "snowflake", "inception": "inception", "sandbox": "bourse",
    "recraft": "recraft", "runwayml": "runway", "jina_ai": "jina", "assemblyai": "assemblyai", "stepfun": "stepfun",
}  # fmt: skip
"""Providers that sell what they (or their house) make."""


def creator_of(upstream_id: str, key: str, provider: str) -> str | None:
    """The maker's id. The name decides first, then the maker's part of the upstream id, then the provider if it makes models itself."""
    for pattern, creator in _COMPILED:
        if pattern.search(key):
            return creator
    for part in re.split(r"[/.]", upstream_id.lower())[:-1]:
        maker = _MAKERS.get(part)
        if maker:
            return maker
    return FIRST_PARTY.get(provider)


def creator_name(creator: str | None) -> str | None:
    """For people; an unknown id is shown as it is."""
    return None if creator is None else CREATORS.get(creator, creator)
