"""Which rows of a comparison are shown at once, and which when somebody asks for them. Pure."""

from dataclasses import replace

from state.comparison import COSTS, Section
from state.quality import BENCHMARKS, LANGUAGES

_MOST = {LANGUAGES: 0, BENCHMARKS: 6}
_USUALLY = 12


def folded(section: Section) -> Section:
    """The rows in which models differ come first, as many as people read; the rest and what is the same in all is folded away.

    What the work costs stays whole.
    """
    if section.title == COSTS:
        return section
    most = _MOST.get(section.title, _USUALLY)
    differing, same = [row for row in section.rows if not row.same], [row for row in section.rows if row.same]
    away = [*differing[most:], *same]
    if len(away) < 2 and differing:
        return section
    number = len(away)
    if len(differing) > most:
        label = f"{number} more" if most else f"{number} languages"
    else:
        label = f"{number} {'is' if number == 1 else 'are'} the same"
    return replace(section, rows=differing[:most], folded=away, fold_label=label, fold_hint=", ".join(row.label for row in away))
