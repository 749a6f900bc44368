"""Who acts: passed first and explicit to every service method that reads or changes anything of a tenant's."""

from dataclasses import dataclass, field
from enum import IntEnum

from backend.kernel.errors import NotFound, PermissionDenied


class Role(IntEnum):
    """What a person is in a tenant; a higher role may do everything that a lower one may."""

    VIEWER = 1
    MEMBER = 2
    ADMIN = 3
    OWNER = 4


@dataclass(frozen=True, slots=True)
class Principal:
    """`kind` is anonymous, user, key or system. `role` is the role in `tenant_id`; a super admin passes every role check. `via`: the id of
    the access token that stands for him, empty where he acts himself."""

    kind: str
    id: str
    tenant_id: str | None = None
    role: Role | None = None
    is_super_admin: bool = False
    name: str = ""
    email: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)
    address: str = ""
    request_id: str = ""
    via: str = ""

    @property
    def is_anonymous(self) -> bool:
        return self.kind == "anonymous"

    def has_role(self, role: Role) -> bool:
        return self.is_super_admin or (self.role is not None and self.role >= role)

    def sees(self, tenant_id: str) -> bool:
        """Whether there is such a tenant for him: he has a role in it. Roles are held in `self.tenant_id` alone."""
        return self.is_super_admin or (self.tenant_id == tenant_id and self.role is not None)


ANONYMOUS = Principal(kind="anonymous", id="anonymous")


def require_role(principal: Principal, tenant_id: str, role: Role) -> None:
    """Go on only if the principal has at least that role in the tenant.

    Raises:
        NotFound: no such tenant for this principal. PermissionDenied: a member of it, with too low a role.
    """
    if not principal.sees(tenant_id):
        raise NotFound("There is no such tenant.")
    if not principal.has_role(role):
        raise PermissionDenied(f"You need to be {role.name.lower()} of this tenant.")


def require_super_admin(principal: Principal, what: str = "do this") -> None:
    """Go on only if the principal is a super admin; `what` completes "Only a super admin may …".

    Raises:
        PermissionDenied: it is not.
    """
    if not principal.is_super_admin:
        raise PermissionDenied(f"Only a super admin may {what}.")


def system(name: str) -> Principal:
    """The principal of our own work: `system("bootstrap")`, `system("ingestion")`."""
    return Principal(kind="system", id=f"system:{name}", is_super_admin=True)
