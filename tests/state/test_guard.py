"""Z2: no handler without a guard, no argument unchecked, nothing for anybody who may not."""

import ast
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import reflex as rx
from reflex.istate.storage import ClientStorageBase
from reflex_base.registry import RegistrationContext

from backend import runtime as runtime_module
from backend.audit.service import AuditService
from backend.identity.cookies import SECURE_NAME
from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.identity.service import IdentityService
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BourseError, PermissionDenied, SignInRequired
from backend.settings import Settings
from state.gate import REFLEX_OWN
from state.guard import MAX_TEXT, PUBLIC, SIGNED_IN, STORE, SUPER_ADMIN, Permission, handler, permission_of, require

ROOT = Path(__file__).resolve().parents[2]

REFUSED = {
    "setvar": "sets any var through its setter; refused by the gate on every state",
    "hydrate": "the server calls it by itself; a browser has hydrate_and_load",
    "set_is_hydrated": "of the root state: the server calls it by itself",
    "handle_frontend_exception": "would write what anybody sends into our log",
    "update_vars_internal": "sets vars kept in the browser's storage, of which we have none",
}
"""Handlers of Reflex that exist and that nobody may call, and why that is right."""


def all_handlers() -> Iterator[tuple[str, type[Any], str, Any]]:
    """Every event that a socket may name, as Reflex itself looks it up, with all pages' states loaded."""
    import app.routes  # noqa: F401

    for full_name, registered in RegistrationContext.get().event_handlers.items():
        yield full_name, registered.states[0], full_name.rpartition(".")[2], registered.handler


@pytest.mark.case("Z2")
def test_every_handler_names_its_permission_or_is_on_a_list_with_a_reason() -> None:
    passed = {(kind, name) for kind, name in REFLEX_OWN}
    unguarded = [
        full_name
        for full_name, kind, name, one in all_handlers()
        if permission_of(one.fn) is None
        and (kind, name) not in passed
        and not (name in REFUSED and (name == "setvar" or kind.__module__.startswith("reflex.")))
        and not kind.__module__.startswith("tests.")
    ]
    assert unguarded == []


@pytest.mark.case("Z2")
def test_the_registry_is_not_empty_and_holds_the_pages_states() -> None:
    kinds = {kind.__name__ for _, kind, _, _ in all_handlers()}
    assert {"StoreState", "ModelState", "UsageState", "SignInState", "SetupState", "SessionState", "ShellState"} <= kinds


def test_every_state_keeps_its_helpers_private_and_nothing_in_the_browsers_storage() -> None:
    for kind in {kind for _, kind, _, _ in all_handlers() if kind.__module__.startswith("state.")}:
        for name, one in vars(kind).items():
            if callable(one) and not name.startswith("_") and hasattr(one, "__code__"):
                raise AssertionError(f"{kind.__name__}.{name} is public and no guarded handler")
        assert kind.get_parent_state().__name__ == "State", f"{kind.__name__} is not flat"
        assert not [name for name, one in kind.__fields__.items() if isinstance(one.default, ClientStorageBase)]


def test_only_the_guard_itself_uses_reflexs_own_decorator() -> None:
    """`@rx.event` on a handler would be refused by the gate at run time; this says so at test time, with the line."""
    found = []
    for file in sorted((ROOT / "state").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [f"{file.name}:{node.lineno}" for one in node.decorator_list if "event" in ast.unparse(one).split("(")[0]]
    assert found == []


# Permissions ---------------------------------------------------------------------------------------------------------------------------

MEMBER = Principal(kind="user", id="usr_m", tenant_id="ten_a", role=Role.MEMBER)
STRANGER = Principal(kind="user", id="usr_s")
BOSS = Principal(kind="user", id="usr_b", is_super_admin=True)


@pytest.mark.parametrize(
    ("permission", "who", "error"),
    [
        (PUBLIC, ANONYMOUS, None),
        (SIGNED_IN, ANONYMOUS, SignInRequired),
        (STORE, ANONYMOUS, SignInRequired),
        (STORE, STRANGER, None),
        (SIGNED_IN, STRANGER, None),
        (Role.VIEWER, ANONYMOUS, SignInRequired),
        (Role.VIEWER, STRANGER, PermissionDenied),
        (Role.VIEWER, MEMBER, None),
        (Role.MEMBER, MEMBER, None),
        (Role.ADMIN, MEMBER, PermissionDenied),
        (Role.OWNER, BOSS, None),
        (SUPER_ADMIN, ANONYMOUS, SignInRequired),
        (SUPER_ADMIN, MEMBER, PermissionDenied),
        (SUPER_ADMIN, BOSS, None),
    ],
)
def test_a_permission_lets_through_whom_it_names(permission: Permission, who: Principal, error: type[BourseError] | None) -> None:
    if error is None:
        require(who, permission)
    else:
        with pytest.raises(error):
            require(who, permission)


# Handlers, called as Reflex calls them -------------------------------------------------------------------------------------------------


@dataclass
class Choice:
    name: str
    share: float


class GuardedState(rx.State):
    seen: str = ""

    @handler(PUBLIC)
    def take(self, count: int, name: str = "x", wanted: list[str] | None = None) -> None:
        self.seen = f"{count} {name} {wanted}"

    @handler(Role.ADMIN)
    async def change(self, to: str) -> None:
        self.seen = to

    @handler(SIGNED_IN)
    async def stream(self) -> AsyncIterator[None]:
        self.seen = "first"
        yield
        self.seen = "second"

    @handler(STORE)
    def read(self) -> None:
        self.seen = "read"

    @handler(PUBLIC)
    def break_down(self, text: str) -> None:
        raise ValueError(f"the value was {text}")


class Notices(list[dict[str, str]]):
    """What reached the person as toasts."""


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> Notices:
    from state import base

    shown = Notices()

    async def show(_state: Any, **notice: str) -> None:
        shown.append(notice)

    monkeypatch.setattr(base, "notify", show)
    return shown


@dataclass
class Now:
    """The two parts of a runtime that the guard asks for, real ones."""

    settings: Settings
    identity: IdentityService


@pytest.fixture
async def identity(sqlite_database: Database, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[IdentityService]:
    settings = Settings()
    service = IdentityService(sqlite_database, clock, AuditService(clock), settings)
    await service.bootstrap()
    monkeypatch.setattr(runtime_module, "current", lambda: Now(settings, service))
    yield service
    service.close()


def a_page(cookie: str | None = None) -> GuardedState:
    """The state behind a socket that was opened with that cookie."""
    state = rx.State(_reflex_internal_init=True)  # type: ignore[call-arg]
    headers = {"cookie": f"theme=dark; {SECURE_NAME}={cookie}"} if cookie else {}
    state.router_data = state._update_router_vars({"headers": headers, "ip": "192.0.2.7"}, {})
    found = state.get_substate(GuardedState.get_full_name().split("."))
    assert isinstance(found, GuardedState)
    return found


async def call(state: GuardedState, name: str, /, **payload: Any) -> None:
    """Run a handler the way the event processor does: its function, with what the browser sent as names and values."""
    result = GuardedState.event_handlers[name].fn(state, **payload)
    if hasattr(result, "__aiter__"):
        async for _ in result:
            pass
    else:
        await result


async def test_a_public_handler_runs_for_anybody(notices: Notices) -> None:
    page = a_page()
    await call(page, "take", count=3, wanted=["a"])
    assert page.seen == "3 x ['a']"
    assert notices == []


@pytest.mark.case("Z4")
@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"count": "3"},
        {"count": 3.5},
        {"count": True},
        {"count": None},
        {"count": [3]},
        {"count": {"a": 1}},
        {"count": 3, "name": 7},
        {"count": 3, "name": None},
        {"count": 3, "name": "x" * (MAX_TEXT + 1)},
        {"count": 3, "name": "a\x00b"},
        {"count": 3, "wanted": ["a", 7]},
        {"count": 3, "wanted": "abc"},
        {"count": 3, "wanted": ["a\x00"]},
        {"count": 3, "is_admin": True},
        {"count": 3, "self": "me"},
        {"count": 3, "state": "me"},
        {"count": 3, "arguments": ()},
    ],
    ids=lambda payload: str(payload)[:40],
)
async def test_arguments_that_do_not_fit_are_refused_and_nothing_changes(notices: Notices, payload: dict[str, Any]) -> None:
    page = a_page()
    await call(page, "take", **payload)
    assert page.seen == ""
    assert len(notices) == 1
    assert "x" * 50 not in str(notices)


@pytest.mark.case("Z2")
@pytest.mark.parametrize("cookie", [None, "made-up"])
@pytest.mark.parametrize(("name", "payload"), [("change", {"to": "x"}), ("stream", {})])
async def test_an_anonymous_page_changes_nothing_and_is_told_to_sign_in(
    identity: IdentityService, notices: Notices, cookie: str | None, name: str, payload: dict[str, Any]
) -> None:
    page = a_page(cookie)
    page._clean()
    await call(page, name, **payload)
    assert page.seen == ""
    assert page.dirty_vars == set()
    assert [one["message"] for one in notices] == ["Sign in to do this."]
    assert notices[0]["request_id"].startswith("req_")


@pytest.mark.parametrize("public", [True, False])
async def test_a_handler_of_the_store_runs_for_a_stranger_only_where_it_is_public(
    identity: IdentityService, notices: Notices, monkeypatch: pytest.MonkeyPatch, public: bool
) -> None:
    settings = Settings.model_validate({"store": {"public": public}})
    monkeypatch.setattr(runtime_module, "current", lambda: Now(settings, identity))
    page = a_page()
    told = await GuardedState.event_handlers["read"].fn(page)
    assert page.seen == ("read" if public else "")
    assert notices == []
    if not public:
        assert "/sign-in?next=" in str(told)


@pytest.mark.case("A6")
async def test_the_session_and_the_role_are_checked_at_every_event(identity: IdentityService, notices: Notices) -> None:
    operator = system("test")
    [tenant] = await identity.tenants.of(operator)
    await identity.create_user(operator, email="ann@example.org", password="correct horse")
    page = a_page((await identity.sign_in("ann@example.org", "correct horse")).cookie)

    async def may_change() -> bool:
        page.seen = ""
        await call(page, "change", to="done")
        return page.seen == "done"

    assert not await may_change()
    await identity.tenants.set_member(operator, tenant.id, email="ann@example.org", role=Role.MEMBER)
    assert not await may_change()
    await identity.tenants.set_member(operator, tenant.id, email="ann@example.org", role=Role.ADMIN)
    assert await may_change()
    await identity.tenants.set_member(operator, tenant.id, email="ann@example.org", role=None)
    assert not await may_change()
    await call(page, "stream")
    assert page.seen == "second"
    cookie = page.router.headers.raw_headers["cookie"].split("=")[-1]
    await identity.sign_out(cookie)
    page.seen = ""
    await call(page, "stream")
    assert page.seen == ""


async def test_an_unforeseen_failure_is_a_toast_with_the_id_and_the_log_holds_no_input(
    notices: Notices, capsys: pytest.CaptureFixture[str]
) -> None:
    await call(a_page(), "break_down", text="typed-by-a-person")
    assert notices[0]["request_id"].startswith("req_")
    assert "typed-by-a-person" not in str(notices)
    logged = capsys.readouterr()
    assert notices[0]["request_id"] in logged.out + logged.err
    assert "typed-by-a-person" not in logged.out + logged.err


def test_a_parameter_without_an_annotation_is_refused_when_the_handler_is_written() -> None:
    with pytest.raises(TypeError, match="needs an annotation"):

        @handler(PUBLIC)
        def careless(self: Any, value) -> None:  # type: ignore[no-untyped-def]
            del self, value
