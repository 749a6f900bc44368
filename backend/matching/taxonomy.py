"""What people want done, as tasks: the words that name each, what a model must be able to do for it, and which skills decide how well.

A task may be done in several *ways* (a document is read by a document reader or by a chat model that sees images); a model serves if one of
them fits. `skills` are the benchmark skills of `backend.benchmarks` with their share. Words in `words` name the task by themselves, those
in `hints` only suggest it; `*` stands for the rest of a word.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SKILLS: dict[str, str] = {
    "coding": "Coding",
    "reasoning": "Reasoning",
    "knowledge": "Knowledge",
    "maths": "Maths",
    "multilingual": "Languages",
    "vision": "Vision",
    "tools": "Tool use",
    "instruction_following": "Following instructions",
    "long_context": "Long context",
    "hallucination": "Faithfulness",
    "speech": "Speech",
    "embeddings": "Embeddings",
}


@dataclass(frozen=True, slots=True)
class Way:
    """What a model needs to do a task this way; empty means no such need."""

    modes: tuple[str, ...]
    modalities_in: tuple[str, ...] = ()
    modalities_out: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()


CHAT = Way(("chat", "completion"), (), ("text",))


@dataclass(frozen=True, slots=True)
class Task:
    id: str
    label: str
    words: tuple[str, ...]
    examples: tuple[str, ...]
    skills: Mapping[str, float]
    ways: tuple[Way, ...] = (CHAT,)
    hints: tuple[str, ...] = ()
    helpful: tuple[str, ...] = ()
    """Capabilities that serve it without being needed."""
    context_tokens: int = 0
    """The least context that it makes sense with."""
    input_tokens: int = 0
    """Of a call, where nobody says; 0 is what is usual for any task."""
    facets: tuple[str, ...] = field(default=())
    """Tasks that it is a special case of; they are not named beside it."""


def _chat(*capabilities: str, modalities: tuple[str, ...] = ()) -> tuple[Way, ...]:
    return (Way(("chat", "completion"), modalities, ("text",), capabilities),)


TASKS: tuple[Task, ...] = (
    Task(
        "chat", "Conversation",
        ("chat", "chatbot*", "chat bot*", "conversation*", "assistant*", "dialog*", "customer support", "customer service", "support bot",
         "help desk", "helpdesk", "companion", "concierge"),
        ("a friendly chatbot for our website that answers customers", "customer support assistant", "talk with users about our products",
         "a virtual assistant that replies to people"),
        {"instruction_following": 0.4, "knowledge": 0.25, "reasoning": 0.2, "hallucination": 0.15},
        hints=("answer questions", "reply", "replies", "customers", "faq*"),
        helpful=("system_messages",),
    ),
    Task(
        "summarisation", "Summarisation",
        ("summar*", "tl;dr", "tldr", "abstract of", "digest*", "condens*", "meeting notes", "key points", "boil down", "zusammenfass*",
         "resumen", "résumé de", "résumer", "riassunt*"),
        ("summarise long reports into a page", "condense meeting transcripts into action items", "write a short abstract of an article",
         "give me the gist of these documents"),
        {"hallucination": 0.35, "instruction_following": 0.3, "long_context": 0.2, "reasoning": 0.15},
        hints=("shorten", "gist", "overview of", "minutes"),
    ),
    Task(
        "translation", "Translation",
        ("translat*", "locali[sz]*", "interpreter", "übersetz*", "traduc*", "traduire", "tradur*", "vertal*"),
        ("translate product descriptions from German to French", "localise our app into Japanese and Korean",
         "a translator for legal contracts"),
        {"multilingual": 0.7, "instruction_following": 0.2, "hallucination": 0.1},
    ),
    Task(
        "code_generation", "Code generation",
        ("code", "codes", "coding", "coder", "codebase*", "program", "programming", "programs", "software", "refactor*", "debug*",
         "unit test*", "pull request*", "code review*", "write functions", "sql quer*", "sql", "python", "javascript", "typescript", "rust",
         "java", "c++", "golang", "kotlin", "bash script*", "script*", "regex*", "compiler*", "stack trace*", "bug fix*", "fix bugs", "ide",
         "programmier*", "programación"),
        ("write Python functions and unit tests", "refactor a large TypeScript code base", "find and fix bugs in our repository",
         "autocomplete code in an editor", "turn questions into SQL queries"),
        {"coding": 0.7, "reasoning": 0.15, "instruction_following": 0.15},
        hints=("developer*", "engineer*", "repository", "repo", "api", "function*", "algorithm*"),
        helpful=("tools", "structured_output"),
    ),
    Task(
        "reasoning", "Reasoning",
        ("reason*", "logic*", "think step*", "step by step", "chain of thought", "planning", "strategy", "problem solving", "puzzle*",
         "complex analysis", "scientific", "research question*", "phd", "proofs of concept"),
        ("solve hard logic puzzles step by step", "complex multi-step reasoning about science", "plan a project with many constraints"),
        {"reasoning": 0.65, "maths": 0.15, "knowledge": 0.2},
        hints=("analy[sz]*", "complex", "difficult", "hard", "science", "deduc*", "infer"),
        helpful=("reasoning",),
    ),
    Task(
        "maths", "Mathematics",
        ("math*", "algebra", "calculus", "equation*", "theorem*", "proof*", "olympiad*", "arithmetic", "geometry", "statistics",
         "word problem*"),
        ("solve olympiad mathematics problems", "prove theorems and solve equations", "homework help with algebra and calculus"),
        {"maths": 0.75, "reasoning": 0.25},
        hints=("calculat*", "comput*", "numbers"),
        helpful=("reasoning",),
    ),
    Task(
        "agents", "Agents and tools",
        ("agent*", "agentic", "tool use", "tool call*", "tool-call*", "function call*", "function-call*", "call tools", "use tools",
         "call functions", "call apis", "mcp", "workflow automation", "autonom*", "orchestrat*", "rpa"),
        ("an agent that books travel by calling APIs", "autonomous workflow with many tool calls",
         "function calling against our internal services"),
        {"tools": 0.6, "reasoning": 0.2, "instruction_following": 0.2},
        ways=_chat("tools"),
        hints=("automat*", "workflow*", "tools", "actions", "multi-step"),
        helpful=("parallel_tools", "structured_output"),
    ),
    Task(
        "computer_use", "Computer use",
        ("computer use", "browser automation", "click through", "control a browser", "control the computer", "gui automation",
         "fill in forms",
         "use a computer", "desktop automation"),
        ("control a browser and fill in web forms", "operate desktop software by looking at the screen"),
        {"tools": 0.5, "vision": 0.3, "reasoning": 0.2},
        ways=(Way(("chat",), (), ("text",), ("computer_use",)), Way(("chat",), (), ("text",), ("tools", "vision"))),
        helpful=("computer_use",),
        facets=("agents",),
    ),
    Task(
        "extraction", "Extraction",
        ("extract*", "parse", "parsing", "structured data", "structured output", "named entit*", "ner", "pull out fields", "fill a schema",
         "key-value", "data entry", "information retrieval from", "extrahier*", "extraer"),
        ("extract names, dates and amounts from contracts as JSON", "parse emails into structured fields",
         "pull line items out of orders into a table"),
        {"instruction_following": 0.45, "hallucination": 0.3, "reasoning": 0.25},
        hints=("json", "fields", "schema", "table", "entities"),
        helpful=("structured_output",),
    ),
    Task(
        "classification", "Classification",
        ("classif*", "categori[sz]*", "sentiment*", "label", "labels", "labelling", "labeling", "tagging", "intent detection",
         "routing of tickets", "triage",
         "spam", "detect whether", "klassifi*"),
        ("classify support tickets by topic", "label the sentiment of reviews", "detect spam and route messages to teams"),
        {"instruction_following": 0.5, "reasoning": 0.25, "knowledge": 0.25},
        hints=("tickets", "categories", "detect", "positive or negative"),
        helpful=("structured_output",),
    ),
    Task(
        "question_answering", "Answers from documents",
        ("rag", "retrieval augmented*", "retrieval-augmented*", "question answering", "q&a", "qa over", "grounded", "knowledge base*",
         "answers from our documents", "ask our documents", "chat with documents", "chat with pdf*", "cite sources", "citations"),
        ("answer questions from our knowledge base with citations", "retrieval augmented generation over company documents",
         "ask questions about a set of manuals"),
        {"hallucination": 0.45, "long_context": 0.25, "reasoning": 0.15, "instruction_following": 0.15},
        hints=("documents", "manuals", "wiki", "sources"),
    ),
    Task(
        "faithfulness", "Staying with the facts",
        ("without hallucinat*", "no hallucinat*", "not hallucinat*", "never hallucinat*", "hallucinat*", "does not make things up",
         "do not make things up", "must not invent", "not invent", "factual*", "faithful*", "truthful*", "trustworthy"),
        ("answers must be factual and never invented", "no hallucinations"),
        {"hallucination": 0.8, "knowledge": 0.2},
        hints=("accurate", "accuracy", "reliable", "correct"),
    ),
    Task(
        "long_context", "Long documents",
        ("long context", "long-context", "long document*", "whole book*", "entire book*", "long report*", "long contract*",
         "hundreds of pages",
         "large documents", "long text*", "entire codebase", "whole codebase", "large codebase", "long transcript*",
         ),
        ("read a whole book and answer questions about it", "analyse contracts of hundreds of pages",
         "keep an entire code base in the context"),
        {"long_context": 0.8, "hallucination": 0.2},
        hints=("long-form", "long form", "pages", "books", "book", "huge", "entire"),
        context_tokens=100_000,
        # Some forty pages: what a thousand tokens cost says little of work that needs a context of a hundred thousand.
        input_tokens=25_000,
    ),
    Task(
        "writing", "Writing",
        ("copywriting", "creative writing", "blog post*", "blog", "marketing copy", "marketing text*", "story", "stories", "novel*",
         "poem*",
         "poetry", "essay*", "write articles", "newsletter*", "product description*", "ghostwrit*", "email draft*", "draft emails",
         "write emails", "slogan*", "advert*", "rewrite", "paraphras*", "proofread*", "grammar", "press release*"),
        ("write creative stories and marketing copy", "draft polite emails and newsletters", "proofread and improve the style of a text"),
        {"instruction_following": 0.55, "knowledge": 0.2, "reasoning": 0.1, "multilingual": 0.15},
        hints=("write", "writing", "draft", "creative", "text", "tone"),
    ),
    Task(
        "vision", "Understanding images",
        ("image understanding", "understand image*", "describe image*", "describe photo*", "image caption*", "caption*", "photo*",
         "screenshot*", "picture*", "diagram*", "chart*", "visual question*", "look at image*", "images as input", "analyse image*",
         "analyze image*", "image analysis", "image recognition", "object detection", "multimodal*", "sees images", "see images",
         "vision"),
        ("describe what is on a photo", "answer questions about screenshots and charts", "multimodal fusion of text and images"),
        {"vision": 0.75, "reasoning": 0.25},
        ways=_chat("vision"),
        hints=("image*", "visual*", "figure*"),
    ),
    Task(
        "ocr", "Reading documents (OCR)",
        ("ocr", "scanned", "scans", "scan", "handwrit*", "receipt*", "invoice*", "digiti[sz]*", "text from image*", "text recognition",
         "document reading", "id cards", "passports", "pdf to text", "read pdf*", "rechnung*", "facture*"),
        ("read scanned invoices and receipts", "digitise handwritten forms", "turn PDF scans into text"),
        {"vision": 0.7, "hallucination": 0.15, "instruction_following": 0.15},
        ways=(Way(("ocr",)), Way(("chat",), (), ("text",), ("vision",))),
        hints=("pdf*", "forms", "paper"),
        helpful=("pdf_input", "structured_output"),
        facets=("vision",),
    ),
    Task(
        "video_understanding", "Understanding video",
        ("video understanding", "watch video*", "analyse video*", "analyze video*", "summarise video*", "summarize video*",
         "video analysis",
         "video question*", "cctv", "footage"),
        ("watch videos and say what happens", "find scenes in footage"),
        {"vision": 0.7, "reasoning": 0.3},
        ways=(Way(("chat",), (), ("text",), ("video_input",)), Way(("chat",), ("video",), ("text",))),
        facets=("vision",),
    ),
    Task(
        "transcription", "Speech to text",
        ("transcri*", "speech to text", "speech-to-text", "speech recognition", "stt", "asr", "dictation", "subtitle*", "voice to text",
         "call recording*", "podcast*", "audio to text", "voicemail*"),
        ("transcribe phone calls and meetings", "subtitles for podcasts and lectures", "turn recordings into text"),
        {"speech": 1.0},
        ways=(Way(("audio_transcription",)),),
        hints=("audio", "recording*", "meeting*", "calls"),
    ),
    Task(
        "speech_generation", "Text to speech",
        ("text to speech", "text-to-speech", "tts", "speech synthesis", "voice over*", "voiceover*", "aloud", "text into speech", "narrat*",
         "audiobook*", "speak text", "generate speech", "generate voice*", "synthetic voice*"),
        ("read articles aloud in a natural voice", "narrate audiobooks", "generate speech for a phone menu"),
        {},
        ways=(Way(("audio_speech",)),),
        hints=("voice*", "spoken", "speak*"),
    ),
    Task(
        "voice_conversation", "Talking in real time",
        ("realtime voice", "real-time voice", "voice agent*", "voice assistant*", "voice bot*", "voicebot*", "phone agent*",
         "speech to speech",
         "speech-to-speech", "talk on the phone", "voice conversation*", "call center agent*"),
        ("a voice agent that talks with callers on the phone", "real-time spoken conversation"),
        {},
        ways=(Way(("realtime",)), Way(("chat",), (), (), ("audio_input", "audio_output"))),
        facets=("agents", "chat", "speech_generation"),
    ),
    Task(
        "audio_understanding", "Understanding audio",
        ("audio understanding", "understand audio", "listen to audio", "analyse audio", "analyze audio", "music analysis",
         "emotion in voice"),
        ("listen to recordings and say what they are about", "detect emotions in voices"),
        {"speech": 0.5, "reasoning": 0.5},
        ways=_chat("audio_input"),
    ),
    Task(
        "image_generation", "Image generation",
        ("image generation", "generate image*", "generating images", "text to image", "text-to-image", "draw", "drawing*", "illustrat*",
         "create image*", "create picture*", "make picture*", "make image*", "logo*", "artwork*", "product shots", "poster*", "thumbnails",
         "stable diffusion", "render images", "bilder erzeugen", "bilder generieren", "generate pictures", "generate photos"),
        ("generate photorealistic product images", "draw illustrations for a children's book", "make logos and posters from a description"),
        {},
        ways=(Way(("image_generation",), (), ("image",)), Way(("chat",), (), ("image",))),
        hints=("images", "art", "design"),
        facets=("vision",),
    ),
    Task(
        "image_editing", "Image editing",
        ("image edit*", "edit image*", "edit photo*", "inpaint*", "outpaint*", "remove background*", "retouch*", "upscal*", "photo editing",
         "change the background"),
        ("remove the background of photos", "edit product photos by instruction"),
        {},
        ways=(Way(("image_edit",), (), ("image",)), Way(("chat", "image_generation"), ("image",), ("image",))),
        facets=("vision", "image_generation"),
    ),
    Task(
        "video_generation", "Video generation",
        ("video generation", "generate video*", "text to video", "text-to-video", "image to video", "create video*", "make video*",
         "animat*", "video clip*", "generate clips", "video ad*", "promo video*", "second video*", "product video*", "explainer video*"),
        ("generate short video clips from a description", "animate a still image", "make a ten second video ad from a text prompt"),
        {},
        ways=(Way(("video_generation",)),),
        facets=("vision", "image_generation"),
    ),
    Task(
        "embeddings", "Embeddings and search",
        ("embed*", "vector search", "semantic search", "vector database*", "similarity search", "vectors", "cluster*", "deduplicat*",
         "nearest neighbour*", "nearest neighbor*", "search index", "recommendation*"),
        ("embed documents for semantic search", "cluster similar texts with vectors", "find near duplicates"),
        {"embeddings": 1.0},
        ways=(Way(("embedding",)),),
        hints=("search", "similar", "index"),
        facets=("question_answering",),
    ),
    Task(
        "rerank", "Reranking",
        ("rerank*", "re-rank*", "rank search results", "order search results", "relevance ranking"),
        ("rerank search results by relevance",),
        {"embeddings": 1.0},
        ways=(Way(("rerank",)),),
        facets=("embeddings",),
    ),
    Task(
        "moderation", "Moderation",
        ("moderat*", "toxic*", "hate speech", "content safety", "unsafe content", "content filter*", "nsfw", "abuse detection",
         "harmful content", "safety classif*", "guardrail*", "jailbreak*", "prompt injection*"),
        ("detect hate speech and unsafe content in posts", "a guardrail in front of our chatbot"),
        {"instruction_following": 0.6, "reasoning": 0.4},
        ways=(Way(("moderation", "guardrail")), CHAT),
        hints=("safety", "policy", "harmful"),
        facets=("classification",),
    ),
    Task(
        "web_search", "Searching the web",
        ("web search", "search the web", "search the internet", "up-to-date", "up to date", "current events", "news", "deep research",
         "latest information", "browse the web", "live information"),
        ("answer with current information from the web", "deep research with sources on the internet"),
        {"knowledge": 0.35, "hallucination": 0.35, "tools": 0.3},
        ways=(Way(("chat",), (), ("text",), ("web_search",)),),
        hints=("internet", "online", "latest", "research"),
    ),
    Task(
        "knowledge", "General knowledge",
        ("trivia", "general knowledge", "encyclop*", "world knowledge", "medical*", "medicine", "legal*", "law", "finance", "financial*",
         "tax",
         "history", "biology", "chemistry", "physics", "education*", "tutor*", "teach*", "exam*", "quiz*"),
        ("answer questions about law, medicine and finance", "a tutor for school subjects", "general knowledge questions"),
        {"knowledge": 0.6, "reasoning": 0.25, "hallucination": 0.15},
        hints=("facts", "expert*", "explain*"),
    ),
    Task(
        "data_analysis", "Data analysis",
        ("data analysis", "analyse data", "analyze data", "spreadsheet*", "excel", "csv", "tables", "business intelligence", "dashboards",
         "kpi*",
         "tabular", "data science", "forecast*"),
        ("analyse spreadsheets and explain trends", "answer questions about tables of figures"),
        {"reasoning": 0.4, "coding": 0.3, "maths": 0.2, "instruction_following": 0.1},
        hints=("data", "figures", "trends"),
        helpful=("tools", "structured_output"),
    ),
)  # fmt: skip

TASK_BY_ID: dict[str, Task] = {task.id: task for task in TASKS}
GENERAL = "chat"
"""What a text is taken for in which nothing is recognised."""
