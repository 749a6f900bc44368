"""Who changed what: one row per change, in the transaction of the change. Where the row cannot be written, the change does not happen."""

import re
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from backend.audit import repository
from backend.audit.tables import AuditEntry
from backend.identity.principal import Principal
from backend.kernel.clock import Clock
from backend.kernel.db import UnitOfWork
from backend.kernel.errors import StorageUnavailable
from backend.kernel.ids import new_id

_SECRET_NAME = re.compile(r"password|secret|token|cookie|authorization|credential", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\bsk-[A-Za-z0-9_-]+\.\S|\$argon2|\bBearer\s", re.IGNORECASE)


class SecretInAudit(AssertionError):
    """A programming error: a secret was about to be written into the audit log. The message names the fact, not its value."""


class AuditService:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def record(
        self, unit: UnitOfWork, principal: Principal, action: str, target: str, *, tenant_id: str | None = None, **facts: Any
    ) -> None:
        """Write what `principal` does, inside `unit`.

        Args:
            action: `object.verb`, such as `api_key.create`.
            target: the id of what is changed.
            tenant_id: whose affair it is; the principal's own tenant if not given.
            facts: what changed, in plain values. Never a secret.

        Raises:
            SecretInAudit: a fact has the name or the look of a secret.
            StorageUnavailable: the row cannot be written; the unit of work must not commit.
        """
        if principal.kind == "system" and principal.name:
            # The person behind the command line, as the operating system knows him.
            facts = {"operator": principal.name, **facts}
        if principal.via:
            facts = {"via": principal.via, **facts}
        _refuse_secrets(facts, ())
        entry = AuditEntry(
            id=new_id("audit"),
            at=self._clock.now(),
            tenant_id=tenant_id or principal.tenant_id,
            actor=principal.id,
            action=action,
            target=target[:255],
            request_id=principal.request_id or None,
            address=principal.address or None,
            facts=facts,
        )
        try:
            await repository.add(unit.session, entry)
        except SQLAlchemyError as error:
            raise StorageUnavailable("The audit log cannot be written, so nothing was changed.") from error


def _refuse_secrets(value: Any, path: tuple[str, ...]) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            if _SECRET_NAME.search(str(name)):
                raise SecretInAudit(f"the audit fact {'.'.join((*path, str(name)))!r} has the name of a secret")
            _refuse_secrets(item, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_secrets(item, path)
    elif isinstance(value, str) and _SECRET_VALUE.search(value):
        raise SecretInAudit(f"the audit fact {'.'.join(path)!r} looks like a secret")
