"""What a reading asks of models: tasks of one kind, the work of a call, the skills that count, and the languages. Pure."""

from typing import Any

from backend.matching.ask import Constraints
from backend.matching.columns import Columns
from backend.matching.parse import Understood
from backend.matching.quality import Mix, in_order
from backend.matching.taxonomy import TASK_BY_ID, Task
from backend.matching.usual import Stated, tokens_of, workload_for
from backend.pricing.workload import Workload

_LEAST_OF_LANGUAGES = 0.3
"""What the languages that are needed count at least, against all other skills together."""
TRANSLATION = "translation"
"""The task whose answer is about as long as what is read."""


def speaks(columns: Columns, place: int, tag: str) -> bool | None:
    """Whether a model knows a language: as sources state it, or as a benchmark in that language shows; None where neither says."""
    stated = columns.languages[place]
    if stated:
        return tag in stated or any(one.partition("-")[0] == tag for one in stated)
    spoken, skills = tag.partition("-")[0], columns.skills[place]
    return True if spoken == "en" or f"multilingual:{spoken}" in skills or f"speech:{spoken}" in skills else None


def may_speak(columns: Columns, place: int, asked: Constraints) -> bool:
    """Whether a model is not known to lack any of the languages that are asked for; where that is to be strict, whether it knows all."""
    if asked.strict:
        return all(speaks(columns, place, tag) for tag in asked.languages)
    # Most state none, and to fifty languages that would be fifty times the same.
    return not columns.languages[place] or all(speaks(columns, place, tag) is not False for tag in asked.languages)


def skill_mix(tasks: tuple[Task, ...], read: Understood, languages: tuple[str, ...]) -> Mix:
    """Skills with their shares, together 1: of each task by how sure it is, and of the languages that are needed."""
    sure = {found.task: max(found.confidence, 0.3) for found in read.tasks}
    mix: dict[str, float] = {}
    for task in tasks:
        for skill, share in task.skills.items():
            mix[skill] = mix.get(skill, 0.0) + share * sure.get(task.id, 1.0)
    foreign = sorted({tag.partition("-")[0] for tag in languages} - {"en"})
    if foreign and mix.keys() - {"embeddings"}:
        # Of what hears, how well it hears the language; of what writes, how well it knows it.
        skill = "speech" if "speech" in mix else "multilingual"
        share = max(mix.pop(skill, 0.0), _LEAST_OF_LANGUAGES * sum(mix.values())) / len(foreign)
        mix |= {f"{skill}:{tag}": share for tag in foreign}
    return in_order(mix)


def one_kind(read: Understood) -> tuple[tuple[Task, ...], tuple[str, ...]]:
    """The surest task and those that the same kind of model does; the others are steps of their own."""
    first, *more = (TASK_BY_ID[found.task] for found in read.tasks)
    modes = {mode for way in first.ways for mode in way.modes}
    together, apart = [first], []
    for task in more:
        own = {mode for way in task.ways for mode in way.modes}
        if own & modes:
            modes &= own
            together.append(task)
        else:
            apart.append(task.id)
    return tuple(together), tuple(apart)


def workload_of(stated: Stated, read: Understood, tasks: tuple[Task, ...]) -> Workload:
    mode = tasks[0].ways[0].modes[0]
    said: dict[str, Any] = {}
    if read.calls_per_day is not None:
        said["calls_per_day"] = read.calls_per_day
    usual = read.input_tokens if read.input_tokens is not None else max(task.input_tokens for task in tasks)
    if (usual or read.input_tokens is not None) and tokens_of(workload_for(mode, {})):
        said["input_tokens"] = usual
    if any(task.id == TRANSLATION for task in tasks) and "output_tokens" not in stated:
        said["output_tokens"] = workload_for(mode, stated, said).input_tokens
    return workload_for(mode, stated, said)
