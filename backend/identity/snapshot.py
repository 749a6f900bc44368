"""Who a key is, from memory: the hot path asks here and never the database.

The whole table of keys is kept as one dictionary that is replaced as a whole when the change feed moves, so a reader sees the old
state or the new one, never a mixture. What is kept of a secret is its SHA-256.

The dictionary's key is the public id *together with* the digest of the secret that was offered. A wrong secret for a known id and
any secret for an unknown id are then the same event, a miss, and take the same time. (Finding the entry by its id first and then
comparing digests was measured: a known id answered 12-15 % slower than an unknown one, because its entry has to be fetched into the
cache. That difference tells an attacker which ids exist.) The verdict is `compare_digest` in either case, against a decoy on a miss.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import structlog

from backend.identity import repository
from backend.identity.end_users import EndUser, EndUserTerms, canonical_end_user
from backend.identity.keys import MAX_KEY_LENGTH, secret_digest
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import AddressNotAllowed, InvalidApiKey, TenantSuspended

log = structlog.get_logger(__name__)

DEMO_SECRET_DIGEST = secret_digest("my-secret")
"""The secret of the demo key is public knowledge: outside development no key with it is accepted, whoever put it there."""

_sha256 = hashlib.sha256


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the gateway needs to know about the key that a call came with."""

    key_id: str
    public_id: str
    name: str
    tenant_id: str
    tenant_slug: str
    user_id: str | None
    models: frozenset[str] | None
    """Names that the key may use; None = all of its tenant's."""
    tenant_models: frozenset[str] | None
    """Names that the tenant may use; None = all."""
    tags: tuple[str, ...]
    plain_bodies: bool
    rate_limit: dict[str, Any] | None
    expires_at: datetime | None
    end_users: EndUserTerms | None = None
    """What each of its end users may have; None = `user` is a tag and nothing else."""
    tier: str | None = None
    """Its own, else its tenant's; routes and overload choose by it."""
    default_model: str | None = None
    """What `auto` stands for in its tenant; None = as the installation says."""
    payer_id: str = field(init=False)
    """Under which its budgets are remembered: its own id."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "payer_id", self.key_id)

    def end_user(self, name: str | None) -> EndUser:
        """Whom the body's `user` names.

        Raises:
            BadRequest: it names nobody.
        """
        assert self.end_users is not None
        return EndUser(
            key_id=self.key_id, tenant_id=self.tenant_id, user_id=self.user_id, name=canonical_end_user(name), terms=self.end_users
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    record: KeyRecord
    digest: bytes
    tenant_suspended: bool
    networks: tuple[IPv4Network | IPv6Network, ...] | None


_DECOY = _Entry(
    record=KeyRecord("", "", "", "", "", None, frozenset(), frozenset(), (), False, None, None),
    # No offered secret hashes to the digest of nothing in particular; compare_digest fails against it.
    digest=bytes(32),
    tenant_suspended=True,
    networks=(),
)


class AuthSnapshot:
    """All usable keys of all tenants in memory.

    Args:
        demo_allowed: whether the well-known demo secret is accepted; True in development only.
    """

    def __init__(self, db: Database, clock: Clock, *, demo_allowed: bool) -> None:
        self._db = db
        self._clock = clock
        self._demo_allowed = demo_allowed
        self._entries: dict[bytes, _Entry] = {}
        self._loading = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    async def load(self) -> None:
        """Read the keys anew and replace the snapshot. Subscribe this to the change feed; on an error the old snapshot stays."""
        async with self._loading:
            entries: dict[bytes, _Entry] = {}
            refused_demo = 0
            async with self._db.read() as session:
                async for rows in repository.usable_keys(session):
                    for row in rows:
                        entry = _entry(row)
                        if entry.digest == DEMO_SECRET_DIGEST and not self._demo_allowed:
                            refused_demo += 1
                            continue
                        entries[entry.record.public_id.encode() + entry.digest] = entry
            self._entries = entries
        if refused_demo:
            log.warning("auth.demo_key_refused", keys=refused_demo, reason="the demo secret is public and only accepted in development")

    def authenticate(self, authorization: str | None, *, address: str) -> KeyRecord:
        """The key that an `Authorization` header names. No I/O.

        Raises:
            InvalidApiKey: missing, malformed, unknown, expired and revoked look the same and cost the same.
            TenantSuspended: the key is right, its tenant is suspended.
            AddressNotAllowed: the key is right and not meant to be used from `address`.
        """
        text = authorization or ""
        if len(text) > MAX_KEY_LENGTH or text[7:10] != "sk-" or text[:7].lower() != "bearer ":
            raise InvalidApiKey
        public_id, _, secret = text[10:].partition(".")
        digest = _sha256(secret.encode("utf-8", "replace")).digest()
        entry = self._entries.get(public_id.encode("utf-8", "replace") + digest, _DECOY)
        if not compare_digest(entry.digest, digest):
            raise InvalidApiKey
        record = entry.record
        if record.expires_at is not None and record.expires_at <= self._clock.now():
            raise InvalidApiKey
        if entry.tenant_suspended:
            raise TenantSuspended
        if entry.networks is not None and not _is_within(address, entry.networks):
            raise AddressNotAllowed
        return record


def _is_within(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return any((mapped or ip) in network for network in networks)


def _entry(row: repository.UsableKey) -> _Entry:
    return _Entry(
        record=KeyRecord(
            key_id=row.id,
            public_id=row.public_id,
            name=row.name,
            tenant_id=row.tenant_id,
            tenant_slug=row.tenant_slug,
            user_id=row.owner_user_id,
            models=None if row.models is None else frozenset(row.models),
            tenant_models=None if row.tenant_models is None else frozenset(row.tenant_models),
            tags=tuple(row.tags),
            plain_bodies=row.plain_bodies,
            rate_limit=row.rate_limit,
            expires_at=row.expires_at,
            end_users=EndUserTerms.from_row(row.end_users),
            tier=row.tier or row.tenant_tier,
            default_model=row.tenant_default_model,
        ),
        digest=bytes.fromhex(row.secret_sha256),
        tenant_suspended=row.tenant_status != "active",
        networks=None if row.allowed_addresses is None else tuple(ip_network(text, strict=False) for text in row.allowed_addresses),
    )
