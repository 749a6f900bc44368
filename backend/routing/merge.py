"""The routes in force: those of the file, with what operators edited in the database over them, field by field.

A section such as `timeouts` is merged too, so that one edited limit leaves the others to the file; a list is replaced as a whole.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from backend.kernel.errors import BadRequest
from backend.route_settings import RouteSettings
from backend.settings import Settings

Edits = Mapping[str, Any]


def merged(settings: Settings, edits: Mapping[str, Edits]) -> tuple[dict[str, RouteSettings], dict[str, str]]:
    """Every alias with its settings, and for those that cannot be used, a sentence why: what was valid once need not be any more."""
    file = {route.alias: route for route in settings.models}
    routes, troubles = {}, {}
    for name in (*file, *(name for name in edits if name not in file)):
        try:
            routes[name] = edited(name, file.get(name), edits.get(name, {}))
        except BadRequest as error:
            troubles[name] = error.message
    return routes, troubles


def edited(name: str, file: RouteSettings | None, edits: Edits) -> RouteSettings:
    """The settings of one alias.

    Raises:
        BadRequest: they cannot be; the message names the field.
    """
    if file is not None and not edits:
        return file
    whole = over(file.model_dump() if file is not None else {}, edits)
    if not whole.get("candidates"):
        raise BadRequest("A route needs at least one candidate.", param="candidates")
    try:
        return RouteSettings.model_validate({**whole, "alias": name})
    except ValidationError as error:
        problems = [(_dotted(problem["loc"]), _in_words(problem)) for problem in error.errors()]
        raise BadRequest("; ".join(f"{where}: {what}" if where else what for where, what in problems), param=problems[0][0]) from None


def checked(settings: Settings, edits: Mapping[str, Edits], name: str) -> RouteSettings:
    """The settings of an alias with `edits` in force, all that they name being there.

    Raises:
        BadRequest: they cannot be, or name a provider, candidate or alias that there is not.
    """
    file = next((route for route in settings.models if route.alias == name), None)
    if "alias" in edits[name]:
        raise BadRequest("The name of a route stays what it is: make another one.", param="alias")
    route = edited(name, file, edits[name])
    for place, candidate in enumerate(route.candidates):
        if settings.protocol_of(candidate.provider) is None:
            known = ", ".join(sorted(settings.providers)) or "none"
            raise BadRequest(
                f"The provider {candidate.provider!r} is not configured. Those that are: {known}.", param=f"candidates[{place}].provider"
            )
    routes, _ = merged(settings, edits)
    for unknown in route.unknown_names(routes):
        raise BadRequest(f"{unknown!r} is neither a candidate of this route, as provider/model, nor another alias.", param="rules")
    return route


def over(base: Edits, edits: Edits) -> dict[str, Any]:
    """`edits` over `base`: sections are merged, everything else is replaced."""
    whole = dict(base)
    for name, value in edits.items():
        below = whole.get(name)
        whole[name] = over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return whole


def _in_words(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "there is no such field"
    return "this is needed" if problem["type"] == "missing" else str(problem["msg"]).removeprefix("Value error, ")


def _dotted(location: tuple[str | int, ...]) -> str:
    shown = [part for part in location if not (isinstance(part, str) and part.startswith(("function-", "literal[")))]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in shown).lstrip(".")
