"""Who sells: our one id per provider, its name, and what the sources call it.

Ids follow the LiteLLM map where it knows the provider (people type `together_ai/…` today); others keep the spelling of the source that
knows them. Some sources split a provider by wire format or by model maker; these are one provider here.
"""

_MERGED = {
    # LiteLLM's splits
    "bedrock_converse": "bedrock",
    "azure_text": "azure",
    "cohere_chat": "cohere",
    "text-completion-openai": "openai",
    "text-completion-codestral": "codestral",
    "text-completion-inception": "inception",
    "fireworks_ai-embedding-models": "fireworks_ai",
    "voyage": "voyage",
    "bedrock_mantle": "bedrock_mantle",
    # models.dev
    "amazon-bedrock": "bedrock",
    "azure-cognitive-services": "azure_ai",
    "cloudflare-workers-ai": "cloudflare",
    "digitalocean": "gradient_ai",
    "fireworks-ai": "fireworks_ai",
    "friendli": "friendliai",
    "github-copilot": "github_copilot",
    "gmicloud": "gmi",
    "google": "gemini",
    "google-vertex": "vertex_ai",
    "google-vertex-anthropic": "vertex_ai",
    "huggingface": "huggingface",
    "alibaba": "dashscope",
    "llama": "meta_llama",
    "moonshotai": "moonshot",
    "novita-ai": "novita",
    "nvidia": "nvidia_nim",
    "ollama-cloud": "ollama-cloud",
    "snowflake-cortex": "snowflake",
    "togetherai": "together_ai",
    "vercel": "vercel_ai_gateway",
    "xiaomi": "xiaomi_mimo",
    "amazon-nova": "amazon_nova",
    "nova": "amazon_nova",
    # genai-prices
    "aws": "bedrock",
    "fireworks": "fireworks_ai",
    "together": "together_ai",
    "x-ai": "xai",
    "voyageai": "voyage",
    "meta": "meta_llama",
}

NAMES = {
    "ai21": "AI21 Labs", "aihubmix": "AIHubMix", "aiml": "AI/ML API", "alibaba-cn": "Alibaba Cloud (China)", "amazon_nova": "Amazon Nova",
    "anthropic": "Anthropic", "anyscale": "Anyscale", "assemblyai": "AssemblyAI", "aws_polly": "Amazon Polly", "azure": "Azure OpenAI",
    "azure_ai": "Azure AI Foundry", "baseten": "Baseten", "bedrock": "Amazon Bedrock", "bedrock_mantle": "Amazon Bedrock (Mantle)",
    "black_forest_labs": "Black Forest Labs", "cerebras": "Cerebras", "chatgpt": "ChatGPT", "cloudflare": "Cloudflare Workers AI",
    "codestral": "Mistral Codestral", "cohere": "Cohere", "crusoe": "Crusoe", "dashscope": "Alibaba Cloud Model Studio",
    "databricks": "Databricks", "deepgram": "Deepgram", "deepinfra": "DeepInfra", "deepseek": "DeepSeek", "elevenlabs": "ElevenLabs",
    "fal_ai": "fal.ai", "featherless_ai": "Featherless AI", "fireworks_ai": "Fireworks AI", "friendliai": "FriendliAI",
    "gemini": "Google Gemini API", "gigachat": "GigaChat", "github-models": "GitHub Models", "github_copilot": "GitHub Copilot",
    "gmi": "GMI Cloud", "gradient_ai": "DigitalOcean Gradient", "groq": "Groq", "heroku": "Heroku", "huggingface": "Hugging Face",
    "hyperbolic": "Hyperbolic", "inception": "Inception", "jina_ai": "Jina AI", "kilo": "Kilo", "lambda_ai": "Lambda",
    "llmgateway": "LLM Gateway", "meta": "Meta", "meta_llama": "Meta Llama API", "minimax": "MiniMax", "mistral": "Mistral AI",
    "moonshot": "Moonshot AI", "nano-gpt": "NanoGPT", "nebius": "Nebius", "novita": "Novita AI", "nscale": "Nscale",
    "nvidia_nim": "NVIDIA NIM", "oci": "Oracle Cloud", "ollama": "Ollama", "ollama-cloud": "Ollama Cloud", "openai": "OpenAI",
    "openrouter": "OpenRouter", "ovhcloud": "OVHcloud", "perplexity": "Perplexity", "poe": "Poe", "recraft": "Recraft",
    "replicate": "Replicate", "runwayml": "Runway", "sagemaker": "Amazon SageMaker", "sambanova": "SambaNova",
    "sandbox": "Sandbox (simulated)",
    "scaleway": "Scaleway", "siliconflow": "SiliconFlow", "snowflake": "Snowflake Cortex", "stability": "Stability AI",
    "tencent": "Tencent", "together_ai": "Together AI", "v0": "v0", "venice": "Venice", "vercel_ai_gateway": "Vercel AI Gateway",
    "vertex_ai": "Google Vertex AI", "volcengine": "Volcengine", "voyage": "Voyage AI", "wandb": "Weights & Biases",
    "watsonx": "IBM watsonx",
    "xai": "xAI", "xiaomi_mimo": "Xiaomi MiMo", "zai": "Z.ai", "zenmux": "ZenMux", "zhipuai": "Zhipu AI", "302ai": "302.AI",
    "anyapi": "AnyAPI", "atomic-chat": "Atomic Chat", "cloudflare-ai-gateway": "Cloudflare AI Gateway", "dataforseo": "DataForSEO",
    "duckduckgo": "DuckDuckGo", "exa_ai": "Exa", "fastrouter": "FastRouter", "gitlab": "GitLab", "google_pse": "Google Programmable Search",
    "inferenceapis": "InferenceAPIs", "io-net": "io.net", "lmstudio": "LM Studio", "modelscope": "ModelScope", "nearai": "NEAR AI",
    "orcarouter": "OrcaRouter", "opencode": "OpenCode", "opencode-go": "OpenCode Go", "parallel_ai": "Parallel",
    "qwen_ai_platform": "Qwen AI Platform",
    "qwencloud": "Qwen Cloud", "quicksilverpro": "QuickSilver Pro", "sap-ai-core": "SAP AI Core", "scx-ai": "SCX",
    "siliconflow-cn": "SiliconFlow (China)",
    "stepfun": "StepFun", "tinyfish": "TinyFish", "you_com": "You.com", "zai-coding-plan": "Z.ai Coding Plan",
}  # fmt: skip


_WORDS = {"ai": "AI", "api": "API", "cn": "CN", "hpc": "HPC", "llm": "LLM", "minimax": "MiniMax", "nlp": "NLP", "xiaomi": "Xiaomi"}


def provider_id(source_name: str) -> str:
    """Our id for what a source calls a provider."""
    name = source_name.strip().lower()
    if name.startswith("vertex_ai-"):
        return "vertex_ai"
    return _MERGED.get(name, name)


def provider_name(provider: str) -> str:
    """For people. Unknown ids are shown in title case: `regolo-ai` → `Regolo AI`."""
    known = NAMES.get(provider)
    if known is not None:
        return known
    words = provider.replace("_", "-").split("-")
    return " ".join(_WORDS.get(word) or word[:1].upper() + word[1:] for word in words)
