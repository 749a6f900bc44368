from datetime import UTC

import pytest

from backend.audit import repository
from backend.audit.service import AuditService, SecretInAudit
from backend.identity.principal import Principal
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database

ANN = Principal(kind="user", id="usr_ann", tenant_id="ten_a", address="192.0.2.7", request_id="req_1")


async def test_an_entry_says_who_did_what_to_what_from_where(database: Database, clock: FixedClock) -> None:
    async with database.write() as unit:
        await AuditService(clock).record(unit, ANN, "api_key.create", "key_1", name="ci", models=["fast"])
    async with database.read() as session:
        [entry] = await repository.latest(session, tenant_id="ten_a", limit=10)
    assert (entry.actor, entry.action, entry.target, entry.tenant_id) == ("usr_ann", "api_key.create", "key_1", "ten_a")
    assert (entry.request_id, entry.address, entry.facts) == ("req_1", "192.0.2.7", {"name": "ci", "models": ["fast"]})
    assert entry.at == clock.now().astimezone(UTC)


async def test_the_entry_goes_with_its_transaction(database: Database, clock: FixedClock) -> None:
    async def change_that_fails() -> None:
        async with database.write() as unit:
            await AuditService(clock).record(unit, ANN, "tenant.create", "ten_1")
            raise LookupError

    with pytest.raises(LookupError):
        await change_that_fails()
    async with database.read() as session:
        assert await repository.latest(session, tenant_id=None, limit=10) == []


@pytest.mark.case("S1")
@pytest.mark.parametrize(
    "facts",
    [
        {"password": "x"},
        {"api_secret": "x"},
        {"setup_token": "x"},
        {"before": {"cookie": "x"}},
        {"name": "sk-demo.my-secret"},
        {"names": ["fine", "key sk-a.b"]},
        {"header": "Bearer abc"},
        {"hash": "$argon2id$v=19$m=1"},
    ],
)
async def test_a_secret_never_becomes_a_fact(sqlite_database: Database, clock: FixedClock, facts: dict[str, object]) -> None:
    async def write() -> None:
        async with sqlite_database.write() as unit:
            await AuditService(clock).record(unit, ANN, "x.y", "z", **facts)

    with pytest.raises(SecretInAudit) as caught:
        await write()
    assert "my-secret" not in str(caught.value)
    async with sqlite_database.read() as session:
        assert await repository.latest(session, tenant_id=None, limit=10) == []


async def test_a_tenant_sees_its_own_entries_only(sqlite_database: Database, clock: FixedClock) -> None:
    audit = AuditService(clock)
    async with sqlite_database.write() as unit:
        await audit.record(unit, ANN, "a.b", "one")
        await audit.record(unit, ANN, "a.b", "two", tenant_id="ten_b")
    async with sqlite_database.read() as session:
        assert [entry.target for entry in await repository.latest(session, tenant_id="ten_b", limit=10)] == ["two"]
