"""Whether what somebody names within a tenant is there: the one check and the one sentence for budgets, limits and keys."""

from sqlalchemy.ext.asyncio import AsyncSession

from backend.identity import repository
from backend.kernel.errors import NotFound


async def require_in_tenant(session: AsyncSession, tenant_id: str, kind: str, named_id: str) -> None:
    """Go on only if the tenant itself, a key of it (revoked ones too) or a member of it has that id; `kind` is tenant, key or user.

    Raises:
        NotFound: there is nothing of that kind and id in the tenant.
    """
    if kind == "tenant":
        found = named_id == tenant_id and await repository.tenant_by_id(session, tenant_id) is not None
    elif kind == "key":
        found = await repository.key_in_tenant(session, tenant_id, named_id) is not None
    else:
        found = await repository.membership(session, tenant_id, named_id) is not None
    if not found:
        raise NotFound("There is no such tenant." if kind == "tenant" else f"There is no such {kind} in this tenant.")
