"""Identity on both databases: a service, its snapshot, and a person or two."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from backend.audit.service import AuditService
from backend.identity import passwords
from backend.identity.service import IdentityService
from backend.identity.snapshot import AuthSnapshot
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.settings import Settings

MakeIdentity = Callable[..., IdentityService]


@pytest.fixture(autouse=True)
def _cheap_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with 1 MiB: the tests make hundreds of hashes. What depends on the real cost asks for `real_password_cost`."""
    if "real_password_cost" not in request.fixturenames:
        monkeypatch.setattr(passwords, "MEMORY_KIB", 1024)
        monkeypatch.setattr(passwords, "_DUMMY", passwords._hash(b"nobody"))


@pytest.fixture
def real_password_cost() -> None:
    """Passwords cost what they cost outside of tests."""


@pytest.fixture
async def make_identity(database: Database, clock: FixedClock) -> AsyncIterator[MakeIdentity]:
    """An identity service with the given settings on this test's database."""
    made: list[IdentityService] = []

    def make(**settings: Any) -> IdentityService:
        made.append(IdentityService(database, clock, AuditService(clock), Settings.model_validate(settings)))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
async def identity(make_identity: MakeIdentity) -> IdentityService:
    """A service in development with the demo tenant, and nobody in it."""
    service = make_identity()
    await service.bootstrap()
    return service


@pytest.fixture
async def auth(database: Database, clock: FixedClock, identity: IdentityService) -> AuthSnapshot:
    """The loaded snapshot of `identity`'s keys."""
    snapshot = AuthSnapshot(database, clock, demo_allowed=True)
    await snapshot.load()
    return snapshot
