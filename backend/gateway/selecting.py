"""Who may answer a call: the route that its name stands for, and the candidates of it that fit this call."""

import re
from collections.abc import Mapping
from typing import Any

from backend.gateway.bounds import Bounder
from backend.gateway.call import Call, clean
from backend.kernel.errors import BadRequest, NoAvailableProvider, UnsupportedParameter
from backend.kernel.request import Scope, header
from backend.kernel.setting_types import SLUG_PATTERN
from backend.observability.metrics import Metrics
from backend.routing.table import RouteTable
from backend.routing.task import task_of

TASK_HEADER = b"x-bourse-task"
_TASK = re.compile(SLUG_PATTERN)


class Selector:
    """`select` before the call is bounded, `hand_over` once it was let in.

    Args:
        classifies: whether every call is told its class of work, for the ledger, and not only where a rule asks for it.
    """

    def __init__(self, routes: RouteTable, bounder: Bounder, metrics: Metrics, *, classifies: bool) -> None:
        self._routes = routes
        self._bounder = bounder
        self._metrics = metrics
        self._classifies = classifies

    def select(self, call: Call, scope: Scope) -> None:
        """Set the call's route and candidates, and in the record the route and the class of work, if one is known.

        Raises:
            ModelNotFound, ModelNotAllowed: as `RouteTable.resolve`, or a rule of the route rejects such calls.
            NoAvailableProvider: a rule rejects such calls at this load.
            BadRequest: the caller names a class of work that is none.
        """
        body, record = call.body, call.record
        route = call.route = self._routes.resolve(body["model"], call.key)
        record.route = clean(route.name)
        task = _said_task(scope, body)
        if task is None and (route.asks_task or self._classifies):
            task = task_of(body)
        record.task = task
        if route.rules:
            call.candidates, call.by_price = self._routes.choose(route, call.key, task)
        else:
            call.candidates, call.by_price = self._routes.order(route), route.by_price

    def hand_over(self, call: Call) -> None:
        """A soft quota is used up: the route's smaller model answers, where there is one that this key may use and that can be asked.
        The bounds are then those of its candidates, with no longer answers than the limits have let in."""
        assert call.route is not None
        choice = self._routes.smaller(call.route, call.key)
        if choice is None:
            return
        kept = call.candidates, call.by_price, call.bounds
        call.candidates, call.by_price = choice
        try:
            self._bounder.bound(call)
        except (NoAvailableProvider, UnsupportedParameter):
            call.candidates, call.by_price, call.bounds = kept
        else:
            call.downgraded = "quota"
            longest = max(bound.cap for bound in kept[2])
            for bound in call.bounds:
                if bound.sends_cap and bound.cap > longest:
                    bound.cap = longest
            self._metrics.downgraded_calls.labels("quota").inc()


def _said_task(scope: Scope, body: Mapping[str, Any]) -> str | None:
    """What the caller says that the work is, in a header or in `metadata.task`; the latter may be meant for somebody else."""
    said = header(scope, TASK_HEADER)
    if said is not None:
        if not _TASK.fullmatch(said):
            raise BadRequest("'x-bourse-task' is a word of the letters a-z, digits, '-' and '_', such as code.", param="x-bourse-task")
        return said
    metadata = body.get("metadata")
    if type(metadata) is dict:
        said = metadata.get("task")
        if type(said) is str and _TASK.fullmatch(said):
            return said
    return None
