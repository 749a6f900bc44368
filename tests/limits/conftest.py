"""Keys, scopes and a limiter on a real Redis."""

from collections.abc import Callable

import pytest

from backend.identity.snapshot import KeyRecord
from backend.limits.schemas import Limits, Scope

PATIENT = 5.0
"""Seconds that a test waits for Redis where it is not about waiting: a busy machine must not look like an outage."""

KeyFactory = Callable[..., KeyRecord]


def a_scope(kind: str = "key", scope_id: str = "k", *, zone: str = "UTC", tenant: str = "t", **limits: object) -> Scope:
    return Scope(kind, tenant, scope_id, Limits(**limits), zone)  # type: ignore[arg-type]


@pytest.fixture
def a_key() -> KeyFactory:
    def make(key_id: str = "key_1", *, tenant: str = "ten_1", user: str | None = None, **limits: object) -> KeyRecord:
        return KeyRecord(
            key_id=key_id,
            public_id=key_id,
            name=key_id,
            tenant_id=tenant,
            tenant_slug=tenant,
            user_id=user,
            models=None,
            tenant_models=None,
            tags=(),
            plain_bodies=False,
            rate_limit=limits or None,
            expires_at=None,
        )

    return make
