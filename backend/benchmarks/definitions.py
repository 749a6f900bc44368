"""Which benchmark a row of the bundled file speaks of: its skill, direction, scale and version, source by source.

Only one metric of a benchmark counts for a skill: parts, averages of other rows, cost and speed are kept and shown, with no skill. `family`
names what several benchmarks have in common (releases of LiveBench, languages of EuroEval): together they are one piece of evidence.
"""

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from backend.benchmarks.records import BenchmarkRecord
from backend.catalog.names import slug

SKILLS_FILE = Path(__file__).parent / "data" / "skills.csv"

_LANGUAGES = {
    "albanian": "sq", "bosnian": "bs", "bulgarian": "bg", "catalan": "ca", "croatian": "hr", "czech": "cs", "danish": "da", "dutch": "nl",
    "english": "en", "estonian": "et", "faroese": "fo", "finnish": "fi", "french": "fr", "german": "de", "greek": "el", "hungarian": "hu",
    "icelandic": "is", "italian": "it", "latvian": "lv", "lithuanian": "lt", "norwegian": "no", "polish": "pl", "portuguese": "pt",
    "romanian": "ro", "serbian": "sr", "slovak": "sk", "slovene": "sl", "spanish": "es", "swedish": "sv", "ukrainian": "uk",
}  # fmt: skip
"""EuroEval's boards of one language; its other boards are averages over groups of these."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a source's own rules say of a row. Without `best` the scale is the row's `scale_max`, if it has one and the direction is known
    (`lower` is not None)."""

    family: str
    skill: str | None = None
    version: str = ""
    language: str | None = None
    lower: bool | None = False
    worst: float | None = None
    best: float | None = None
    unit: str | None = None


Row = Mapping[str, str]


def define(row: Row) -> BenchmarkRecord:
    """The benchmark of a row; the same for every row of one benchmark, metric and version."""
    kind = _SOURCES.get(row["source_dataset"], _plain)(row)
    lower = _UNSCALED.get(row["unit"], kind.lower)
    worst, best = kind.worst, kind.best
    if best is None and row["scale_max"] and lower is not None:
        top = float(row["scale_max"])
        worst, best = (top, 0.0) if lower else (0.0, top)
    name, metric = row["benchmark"], row["metric"]
    return BenchmarkRecord(
        id=benchmark_id(row["source_dataset"], name, metric, kind.version),
        name=name,
        metric=metric,
        version=kind.version,
        skill=kind.skill,
        language=kind.language,
        direction="unknown" if lower is None else "lower" if lower else "higher",
        unit=kind.unit or row["unit"],
        scale_worst=worst,
        scale_best=best,
        family=kind.family,
        dataset=row["source_dataset"],
        licence=row["source_licence"],
    )


_SHORT = {"llm-stats (llm-leaderboard repo)": "llm-stats", "vectara/hallucination-leaderboard": "vectara"} | dict.fromkeys(
    ("NVIDIA/RULER", "LiveBench", "EuroEval", "BFCL", "MTEB results", "Open ASR leaderboard", "aider", "tau2-bench"), ""
)
"""How a source is called in ids; nothing where the benchmark's name says it already."""


def benchmark_id(dataset: str, name: str, metric: str, version: str = "") -> str:
    """The id of a metric of a version of a benchmark of a source: a slug, such as `livebench-coding-category-average-2026-01-08`."""
    metric = re.sub(r" \([^()]*lower is better\)", "", metric)
    version = "" if version in name else version
    told = [_SHORT.get(dataset, dataset), name.replace("+", " plus ").replace(">", " over ").replace("<", " under "), metric, version]
    told = [part.replace("^", " hat ").replace("/", " ") for part in told if part]
    return slug(" ".join(told))[:160]


_UNSCALED = {"USD": True, "seconds": True, "x real time": False, "words": None}
"""Units that have no best: whether lower is better."""


def _plain(row: Row) -> _Kind:
    return _Kind(slug(f"{row['source_dataset']} {row['benchmark']} {row['metric']}"))


def _bfcl(row: Row) -> _Kind:
    return _Kind("bfcl", "tools" if row["metric"] == "Overall Acc" else None, version="v4")


def _euroeval(row: Row) -> _Kind:
    language = _LANGUAGES.get(row["benchmark"].removeprefix("EuroEval "))
    # A rank depends on who else is ranked, so every snapshot is a version. Five is worse than nearly all that is listed.
    return _Kind(
        "euroeval", "multilingual" if language else None, row["run_date_or_published"][:10], language, lower=True, worst=5.0, best=1.0
    )


def _evalplus(row: Row) -> _Kind:
    return _Kind(slug(row["benchmark"].removesuffix("+")), "coding")


_LIVEBENCH = {
    "LiveBench: Agentic Coding": "coding",
    "LiveBench: Coding": "coding",
    "LiveBench: IF": "instruction_following",
    "LiveBench: Mathematics": "maths",
    "LiveBench: Reasoning": "reasoning",
}


def _livebench(row: Row) -> _Kind:
    return _Kind(slug(row["benchmark"]), _LIVEBENCH.get(row["benchmark"]), version=row["run_date_or_published"][:10])


def _mteb(row: Row) -> _Kind:
    return _Kind(slug(row["benchmark"]), "embeddings")


def _ruler(row: Row) -> _Kind:
    return _Kind("ruler", "long_context" if row["benchmark"] in ("RULER 32K", "RULER 64K", "RULER 128K") else None)


_ASR = {
    ("Open ASR English short-form", "WER Avg."): "en",
    ("Open ASR English long-form", "WER Average"): "en",
    ("Open ASR multilingual", "WER Avg"): None,
}


def _asr(row: Row) -> _Kind:
    place = (row["benchmark"], row["metric"])
    if not row["metric"].startswith("WER"):
        return _Kind(slug(" ".join(place)))
    return _Kind(slug(row["benchmark"]), "speech" if place in _ASR else None, language=_ASR.get(place), lower=True)


def _aider(row: Row) -> _Kind:
    return _Kind(slug(row["benchmark"]), "coding" if row["metric"].startswith("percent correct") else None)


def _tau2(row: Row) -> _Kind:
    simulator = re.search(r"user_simulator=([^;]+)", row["notes"])
    version = "" if simulator is None or simulator.group(1) == "None" else simulator.group(1)[:64]
    counts = row["metric"] == "pass^1" and "(voice)" not in row["benchmark"]
    # Who plays the customer decides how hard it is, so each player is a version.
    return _Kind(slug(row["benchmark"]), "tools" if counts else None, version=version)


def _vectara(row: Row) -> _Kind:
    lower = row["metric"].startswith("hallucination rate")
    return _Kind("vectara-hhem", "hallucination" if lower else None, lower=lower)


_SIMPLE_EVALS = {
    "DROP": "reasoning",
    "GPQA": "reasoning",
    "HumanEval": "coding",
    "MATH": "maths",
    "MGSM": "multilingual",
    "MMLU": "knowledge",
    "SimpleQA": "knowledge",
}


def _simple_evals(row: Row) -> _Kind:
    return _Kind(slug(row["benchmark"]), _SIMPLE_EVALS.get(row["benchmark"]))


def _listed(row: Row) -> _Kind:
    """Sources that repeat what vendors publish: only benchmarks that `skills.csv` knows count."""
    known = _skills().get(row["benchmark"])
    top, unit = (1.0, "fraction") if row["source_dataset"].startswith("llm-stats") else (100.0, "percent")
    if known is None:
        return _Kind(slug(f"{row['source_dataset']} {row['benchmark']}"), lower=None)
    return _Kind(known["family"], known["skill"], known["version"], worst=0.0, best=top, unit=unit)


@cache
def _skills() -> dict[str, dict[str, str]]:
    with SKILLS_FILE.open(encoding="utf-8", newline="") as file:
        return {row["benchmark"]: row for row in csv.DictReader(file)}


_SOURCES: dict[str, Callable[[Row], _Kind]] = {
    "BFCL": _bfcl,
    "EuroEval": _euroeval,
    "EvalPlus": _evalplus,
    "LiveBench": _livebench,
    "MTEB results": _mteb,
    "NVIDIA/RULER": _ruler,
    "Open ASR leaderboard": _asr,
    "aider": _aider,
    "llm-stats (llm-leaderboard repo)": _listed,
    "models.dev": _listed,
    "openai/simple-evals": _simple_evals,
    "tau2-bench": _tau2,
    "vectara/hallucination-leaderboard": _vectara,
}
