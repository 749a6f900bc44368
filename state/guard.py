"""Who may call a handler: one decorator on every handler, and one gate that lets nothing else through.

Every public function of a state class can be called by anybody with a websocket, in any order and with any arguments, whatever the page
shows. So a handler names its permission, which is checked against the person's session at every event (a sign-out, a new role or a
disabled account counts from the next event on), and its arguments are checked against their annotations. `Gate` refuses every event
whose handler has no permission, such as the `setvar` that Reflex puts on each state.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from typing import Any, TypeVar, get_type_hints

import reflex as rx
from pydantic import ConfigDict, TypeAdapter, ValidationError

from backend import runtime
from backend.identity.cookies import sign_in_address
from backend.identity.principal import Principal, Role, require_super_admin
from backend.kernel.errors import BadRequest, PermissionDenied, SignInRequired, StorageUnavailable
from backend.kernel.ids import new_id
from state.base import admitted, report, session_of

Handler = TypeVar("Handler", bound=Callable[..., Any])

MAX_TEXT = 100_000
"""Characters in one argument."""


class Access(Enum):
    """Permissions that are no role in a tenant."""

    PUBLIC = "anybody"
    STORE = "anybody where `store.public` is true, and anybody who is signed in"
    SIGNED_IN = "anybody who is signed in"
    SUPER_ADMIN = "super admins"


PUBLIC, STORE, SIGNED_IN, SUPER_ADMIN = Access.PUBLIC, Access.STORE, Access.SIGNED_IN, Access.SUPER_ADMIN
Permission = Access | Role
_MARK = "_bourse_permission"


def handler(permission: Permission, *, background: bool = False, supersedes: bool = False, **actions: Any) -> Callable[[Handler], Handler]:
    """Make a method of a state an event handler that only `permission` may call.

    A `Role` is the role in the person's current tenant, and higher ones have it too. A refused or failed event ends in a toast with its
    request id, and a refused one changes nothing. Inside the handler `state.base.admitted()` is the session that was checked. Guarded
    handlers are coroutines or asynchronous generators whatever they were written as; handlers share code in `_private` methods.

    Args:
        background, supersedes, actions: as in `rx.event`.

    Raises:
        TypeError: when a parameter has no annotation to check an argument against.
    """

    def decorate(function: Handler) -> Handler:
        check = _ArgumentCheck(function)
        where = function.__qualname__

        async def admit(state: Any, arguments: tuple[Any, ...], named: dict[str, Any], request_id: str) -> inspect.BoundArguments:
            open_to_all = permission is PUBLIC or (permission is STORE and store_is_public())
            session = await session_of(state, request_id=request_id) if not open_to_all else None
            if session is not None:
                require(session.principal, permission)
            bound = check(state, arguments, named)
            admitted.set(session)
            return bound

        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            async def guarded_stream(state: Any, /, *arguments: Any, **named: Any) -> AsyncIterator[Any]:
                request_id = new_id("request")
                try:
                    bound = await admit(state, arguments, named, request_id)
                    async for event in _each(function(*bound.args, **bound.kwargs)):
                        yield event
                except Exception as error:
                    elsewhere = await _refused(state, error, permission, request_id, where)
                    if elsewhere is not None:
                        yield elsewhere

            guarded: Any = guarded_stream
        else:

            @functools.wraps(function)
            async def guarded_call(state: Any, /, *arguments: Any, **named: Any) -> Any:
                request_id = new_id("request")
                try:
                    bound = await admit(state, arguments, named, request_id)
                    result = function(*bound.args, **bound.kwargs)
                    return await result if isinstance(result, Awaitable) else result
                except Exception as error:
                    return await _refused(state, error, permission, request_id, where)

            guarded = guarded_call
        setattr(guarded, _MARK, permission)
        return rx.event(guarded, background=background or None, supersedes=supersedes or None, **actions)  # type: ignore[no-any-return]

    return decorate


def permission_of(function: Any) -> Permission | None:
    """The permission that a handler's function names, or None if it was never guarded."""
    return getattr(function, _MARK, None)


def require(principal: Principal, permission: Permission) -> None:
    """Let the principal pass.

    Raises:
        SignInRequired: nobody is signed in. PermissionDenied: somebody is, and may not.
    """
    if permission is PUBLIC:
        return
    if principal.is_anonymous:
        raise SignInRequired
    if permission in (SIGNED_IN, STORE):
        return
    if permission is SUPER_ADMIN:
        require_super_admin(principal)
    elif not isinstance(permission, Role) or not principal.has_role(permission):
        raise PermissionDenied("Your role in this tenant does not allow this.")


def store_is_public() -> bool:
    """Whether models and prices are shown to who is not signed in."""
    try:
        return runtime.current().settings.store.public
    except StorageUnavailable:
        # The process is still starting: there is nothing to read, and the page says so itself.
        return True


async def _refused(state: Any, error: Exception, permission: Permission, request_id: str, where: str) -> Any:
    """What a page is told of a handler that failed. Whoever may not read the store without signing in is taken there and back."""
    if permission is STORE and isinstance(error, SignInRequired):
        url = state.router.url
        return rx.redirect(sign_in_address(url.path, url.query), replace=True)
    await report(state, error, request_id, where)
    return None


class _ArgumentCheck:
    """Holds what a browser sent against the handler's own signature. Built when the handler is defined, resolved at its first event."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._signature = inspect.signature(function)
        self._adapters: dict[str, TypeAdapter[Any]] | None = None
        for parameter in list(self._signature.parameters.values())[1:]:
            if parameter.annotation is inspect.Parameter.empty or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"{function.__qualname__}: the argument {parameter.name!r} needs an annotation to be checked against")

    def __call__(self, state: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments, each of its annotated type.

        Raises:
            BadRequest: too many, too few, of another type, too long, or with a NUL character. Never repeats a value.
        """
        try:
            bound = self._signature.bind(state, *arguments, **named)
        except TypeError:
            raise BadRequest("The page sent something that this version does not understand. Reload it.") from None
        if self._adapters is None:
            self._adapters = self._resolve()
        for name, adapter in self._adapters.items():
            if name in bound.arguments:
                value = bound.arguments[name]
                _refuse_monstrous_text(value, name)
                try:
                    bound.arguments[name] = adapter.validate_python(value, strict=True)
                except ValidationError:
                    raise BadRequest("The page sent something of the wrong kind. Reload it.", param=name) from None
        return bound

    def _resolve(self) -> dict[str, TypeAdapter[Any]]:
        hints = get_type_hints(self._function)
        config = ConfigDict(arbitrary_types_allowed=True)
        return {name: _adapter(hints[name], config) for name in list(self._signature.parameters)[1:]}


def _adapter(hint: Any, config: ConfigDict) -> TypeAdapter[Any]:
    # Pydantic refuses a configuration for types that carry their own.
    carries_its_own = isinstance(hint, type) and (hasattr(hint, "__pydantic_validator__") or hasattr(hint, "__dataclass_fields__"))
    return TypeAdapter(hint) if carries_its_own else TypeAdapter(hint, config=config)


def _refuse_monstrous_text(value: Any, name: str) -> None:
    if isinstance(value, str):
        if len(value) > MAX_TEXT or "\x00" in value:
            raise BadRequest("The text is too long or holds a NUL character.", param=name)
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_monstrous_text(key, name)
            _refuse_monstrous_text(item, name)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_monstrous_text(item, name)


async def _each(events: Any) -> AsyncIterator[Any]:
    """What a generator of either kind yields."""
    if inspect.isasyncgen(events):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event
