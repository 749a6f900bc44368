"""Who acts: passed first and explicit to every service method that reads or changes anything of a tenant's."""

from dataclasses import dataclass, field
from enum import IntEnum


class Role(IntEnum):
    """What a person is in a tenant; a higher role may do everything that a lower one may."""

    VIEWER = 1
    MEMBER = 2
    ADMIN = 3
    OWNER = 4


@dataclass(frozen=True, slots=True)
class Principal:
    """`kind` is anonymous, user, key or system. `role` is the role in `tenant_id`; a super admin passes every role check."""

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

    @property
    def is_anonymous(self) -> bool:
        return self.kind == "anonymous"

    def has_role(self, role: Role) -> bool:
        return self.is_super_admin or (self.role is not None and self.role >= role)


ANONYMOUS = Principal(kind="anonymous", id="anonymous")


def system(name: str) -> Principal:
    """The principal of our own work: `system("bootstrap")`, `system("ingestion")`."""
    return Principal(kind="system", id=f"system:{name}", is_super_admin=True)
