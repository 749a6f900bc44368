"""The routes in force: those of the file, with what operators edited in the database over them, field by field."""

from collections.abc import Collection, Mapping

from pydantic import ValidationError

from backend.kernel.edits import Edits, over, refusal
from backend.kernel.errors import BadRequest
from backend.route_settings import RouteSettings
from backend.settings import Settings


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
        raise refusal(error) from None


def checked(settings: Settings, edits: Mapping[str, Edits], name: str, providers: Collection[str]) -> RouteSettings:
    """The settings of an alias with `edits` in force, all that they name being there.

    Args:
        providers: those that there are.

    Raises:
        BadRequest: they cannot be, or name a provider, candidate or alias that there is not.
    """
    file = next((route for route in settings.models if route.alias == name), None)
    if "alias" in edits[name]:
        raise BadRequest("The name of a route stays what it is: make another one.", param="alias")
    route = edited(name, file, edits[name])
    for place, candidate in enumerate(route.candidates):
        if candidate.provider not in providers:
            known = ", ".join(sorted(providers)) or "none"
            raise BadRequest(f"There is no provider {candidate.provider!r}. There are: {known}.", param=f"candidates[{place}].provider")
    routes, _ = merged(settings, edits)
    for unknown in route.unknown_names(routes):
        raise BadRequest(f"{unknown!r} is neither a candidate of this route, as provider/model, nor another alias.", param="rules")
    return route
