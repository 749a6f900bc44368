"""The selection table of a route: whom to ask for a call of this task, of this tier, at this load. The first row that fits counts."""

from collections.abc import Callable
from typing import Protocol

from backend.kernel.errors import ModelNotAllowed, NoAvailableProvider
from backend.routing.route import Candidate, Route, Rule

NORMAL, HIGH, DEGRADED = "normal", "high", "degraded"
REJECTED_SECONDS = 10.0
"""When a call that was rejected for the load may try again."""


class Load(Protocol):
    @property
    def level(self) -> str:
        """How this process is doing: normal, high or degraded."""
        ...


class Steady:
    """The load of a process that nobody watches."""

    level = NORMAL


Available = Callable[[Rule], tuple[Candidate, ...]]
"""Whom a rule names that this caller may use now."""


def chosen_rule(
    route: Route, *, task: str | None, tier: str | None, load: Load, is_open: Callable[[Candidate], bool], available: Available
) -> Rule | None:
    """The first rule that fits and names somebody who may be asked; None: the route's own candidates answer.

    The load counts as degraded, too, while the breaker of the candidate is open that would be asked first if all were well.

    Raises:
        NoAvailableProvider: the rule rejects calls at this load. ModelNotAllowed: it rejects them at any.
    """
    fitting = [rule for rule in route.rules if _fits(rule, task, tier)]
    level = NORMAL
    if any(rule.loads for rule in fitting):
        level = load.level
        if level != DEGRADED and _first_choice_is_open(route, fitting, is_open, available):
            level = DEGRADED
    for rule in fitting:
        if rule.loads and level not in rule.loads:
            continue
        if rule.reject:
            raise _rejection(route, rule, level)
        if available(rule):
            return rule
    return None


def _fits(rule: Rule, task: str | None, tier: str | None) -> bool:
    return (not rule.tasks or task in rule.tasks) and (not rule.tiers or tier in rule.tiers)


def _first_choice_is_open(route: Route, fitting: list[Rule], is_open: Callable[[Candidate], bool], available: Available) -> bool:
    for rule in fitting:
        if not rule.reject and (not rule.loads or NORMAL in rule.loads) and (candidates := available(rule)):
            return is_open(candidates[0])
    return is_open(route.candidates[0])


def _rejection(route: Route, rule: Rule, level: str) -> NoAvailableProvider | ModelNotAllowed:
    if rule.loads:
        return NoAvailableProvider(f"Calls of this kind are not taken while the load is {level}.", retry_after=REJECTED_SECONDS)
    return ModelNotAllowed(f"The model '{route.name}' does not take calls of this kind.", param="model")
