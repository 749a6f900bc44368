"""Whether what somebody names within a tenant is there: nothing of another tenant's is, whatever its kind."""

import pytest

from backend.identity.belonging import require_in_tenant
from backend.identity.principal import Role, system
from backend.identity.service import IdentityService
from backend.kernel.db import Database
from backend.kernel.errors import NotFound

OPERATOR = system("test")


async def test_only_the_tenant_itself_its_keys_and_its_members_are_there(database: Database, identity: IdentityService) -> None:
    ann = await identity.create_user(OPERATOR, email="ann@example.org")
    here = await identity.tenants.create(OPERATOR, slug="here")
    there = await identity.tenants.create(OPERATOR, slug="there")
    await identity.tenants.set_member(OPERATOR, here.id, email=ann.email, role=Role.VIEWER)
    key = (await identity.keys.create(OPERATOR, here.id, name="ci")).view
    await identity.keys.revoke(OPERATOR, here.id, key.id)
    places = {"tenant": here.id, "key": key.id, "user": ann.id}
    async with database.read() as session:
        for kind, named in places.items():
            await require_in_tenant(session, here.id, kind, named)
            for tenant, name in ((there.id, named), (here.id, "nothing"), ("nowhere", named)):
                with pytest.raises(NotFound, match=f"There is no such {kind}"):
                    await require_in_tenant(session, tenant, kind, name)
        with pytest.raises(NotFound):
            await require_in_tenant(session, "nowhere", "tenant", "nowhere")
