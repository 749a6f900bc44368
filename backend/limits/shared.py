"""Limits counted in Redis, exact across replicas: one script, one trip for all limits of a call.

Whoever holds parallel slots holds them by a lease that is renewed every few seconds for all running calls together, so the slots of a
process that died are free within `LEASE_SECONDS`. What a settled call gives back is sent and not waited for.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from backend.kernel.days import day_number
from backend.kernel.errors import RateLimited
from backend.kernel.header_lines import Header
from backend.limits.admission import Admission, rate_headers, refusal
from backend.limits.memory import Hold, MemoryLimiter
from backend.limits.redis_link import LinkDown, RedisLink, Script, packed
from backend.limits.schemas import Scope, Unit
from backend.limits.standing_link import StandingLink

ANSWER_SECONDS = 0.095
LEASE_SECONDS = 50
RENEWALS_PER_LEASE = 5

_UNITS = (Unit.REQUESTS, Unit.TOKENS, Unit.PARALLEL, Unit.DAY_REQUESTS, Unit.DAY_TOKENS)
_PER_SCOPE = 5


def _script(name: str) -> Script:
    folder = Path(__file__).parent
    return Script((folder / f"{name}.lua").read_text().replace("--ADVANCE--", (folder / "advance.lua").read_text()))


class RunningCall:
    """One running call: its name in Redis, and for each scope what it reserved there (None if it was let in without Redis)."""

    __slots__ = ("id", "reserved", "scopes")

    def __init__(self, call_id: bytes, scopes: Sequence[Scope], reserved: list[tuple[int, int, int, int]] | None = None) -> None:
        self.id = call_id
        self.scopes = scopes
        self.reserved = reserved
        """The second, the tokens in it, the number of the day and the tokens in that."""


class SharedLimiter:
    """Counts with all other replicas in Redis: a call is let in under all of its limits or under none, exactly.

    Args:
        memory: counts along, so that there is something to go by when Redis is gone.
        on_change: called with True when Redis is there, with False when it is not.
        lease_seconds: how long a slot is held if its process dies.
        answer_seconds: how long Redis may be silent while an answer is due.
    """

    def __init__(
        self,
        url: str,
        memory: MemoryLimiter,
        on_change: Callable[[bool], None],
        *,
        lease_seconds: float = LEASE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._lease = b"%d" % (lease_seconds * 1000)
        self._memory = memory
        self._admit, self._settle, self._renew = _script("admit"), _script("settle"), _script("renew")
        self._standing = StandingLink(
            url,
            "limits",
            "limits are counted here, as this process's share",
            answer_seconds=answer_seconds,
            on_change=on_change,
            on_beat=self.renew,
            beat_seconds=lease_seconds / RENEWALS_PER_LEASE,
            scripts=(self._admit, self._settle, self._renew),
        )
        self._wire: dict[str, tuple[bytes, bytes, Scope]] = {}
        self._running: dict[bytes, RunningCall] = {}
        self._nonce = os.urandom(6).hex().encode()
        self._count = 0

    @property
    def _link(self) -> RedisLink | None:
        return self._standing.link

    @property
    def is_up(self) -> bool:
        return self._standing.link is not None

    async def start(self) -> None:
        """Look for Redis once, and go on looking in the background."""
        await self._standing.start()

    async def stop(self) -> None:
        await self._standing.stop()

    # Calls -------------------------------------------------------------------------------------------------------------------------

    def follow(self, admission: Admission, scopes: Sequence[Scope]) -> None:
        """A call was let in without Redis: its slots count there as soon as it is back."""
        call = RunningCall(self._next_id(), scopes)
        self._running[call.id] = call
        admission.also(lambda _: self._settled(call, 0))

    def _next_id(self) -> bytes:
        self._count += 1
        return b"%b-%x" % (self._nonce, self._count)

    async def admit(self, scopes: Sequence[Scope], tokens: int, hold: Hold | None = None) -> Admission:
        """As `MemoryLimiter.admit`, over all replicas.

        Args:
            hold: what the call holds in memory already; still the caller's if this raises.

        Raises:
            RateLimited, ParallelLimitExceeded, QuotaExceeded
            LinkDown: Redis is away; nothing is known.
        """
        link = self._link
        if link is None:
            raise LinkDown("Redis is away")
        call_id = self._next_id()
        command = self._command(scopes, call_id, tokens)
        try:
            answer = await link.ask(command)
        except LinkDown as error:
            if not str(error).startswith("NOSCRIPT"):
                link.fail(error)
                raise
            answer = await link.call("EVAL", self._admit.source, *_unpacked(command)[2:])
            for script in (self._admit, self._settle, self._renew):
                link.tell(packed(("SCRIPT", "LOAD", script.source)))
        except asyncio.CancelledError:
            # The answer will find nobody; its slots need not wait for the lease.
            link.tell(self._settle_command(scopes, call_id, [(0, 0, 0, 0)] * len(scopes)))
            raise
        fields = answer.split()
        if fields[0] == b"0":
            raise self._refusal(scopes, fields)
        return self._admission(call_id, scopes, tokens, fields, hold or self._memory.take(scopes, tokens))

    def _command(self, scopes: Sequence[Scope], call_id: bytes, tokens: int) -> bytes:
        keys, args, count = [], [], 6 + 7 * len(scopes)
        for scope in scopes:
            wire = self._wire.get(scope.name)
            if wire is None or wire[2] is not scope:
                wire = self._wire[scope.name] = (*_wire(scope), scope)
            keys.append(wire[0])
            args.append(wire[1])
            if scope.has_quota:
                day = self._day_args(scope)
                args.append(b"".join([_bulk(b"%d" % value) for value in day]))
                count += len(day)
        return b"*%d\r\n$7\r\nEVALSHA\r\n%b%b%b%b%b%b%b" % (
            count,
            _bulk(self._admit.sha),
            _bulk(b"%d" % (3 * len(scopes))),
            b"".join(keys),
            _bulk(call_id),
            _bulk(self._lease),
            _bulk(b"%d" % tokens),
            b"".join(args),
        )

    def _day_args(self, scope: Scope) -> tuple[int, ...]:
        number, requests, tokens = self._memory.day_of(scope)
        edges = [day_number(scope.zone, number + near).start for near in (-1, 0, 1, 2)]
        return (scope.day_requests, scope.day_tokens, number, *edges, requests, tokens)

    def _admission(self, call_id: bytes, scopes: Sequence[Scope], tokens: int, fields: list[bytes], hold: Hold) -> Admission:
        reserved = []
        requests_limit = tokens_limit = 0
        least_requests = least_tokens = 2**62
        at = 2
        for scope in scopes:
            taken = tokens if not scope.tokens or tokens < scope.tokens else scope.tokens
            day_taken = tokens if not scope.day_tokens or tokens < scope.day_tokens else scope.day_tokens
            reserved.append((int(fields[at]), taken, int(fields[at + 4]), day_taken))
            if scope.requests and (room := scope.requests - int(fields[at + 1])) < least_requests:
                requests_limit, least_requests = scope.requests, room
            if scope.tokens and (room := scope.tokens - int(fields[at + 2])) < least_tokens:
                tokens_limit, least_tokens = scope.tokens, room
            at += _PER_SCOPE
        call = RunningCall(call_id, scopes, reserved)
        self._running[call_id] = call
        soft = None
        if fields[1] != b"0":
            index, _, unit = fields[1].partition(b":")
            soft = f"{scopes[int(index) - 1].kind} {_UNITS[int(unit) - 1].value}"

        def settle(used: int) -> None:
            hold.settle(used)
            self._settled(call, used)

        return Admission(settle, requests_limit, least_requests, tokens_limit, least_tokens, soft)

    def _refusal(self, scopes: Sequence[Scope], fields: list[bytes]) -> RateLimited:
        wait_ms, index, unit = int(fields[1]), int(fields[2]) - 1, _UNITS[int(fields[3]) - 1]
        headers: list[Header] = []
        told = [[int(field) for field in fields[4 + _PER_SCOPE * n : 4 + _PER_SCOPE * (n + 1)]] for n in range(len(scopes))]
        for what, column in ((b"requests", 1), (b"tokens", 2)):
            limits = [(scope.requests if column == 1 else scope.tokens, row) for scope, row in zip(scopes, told, strict=True)]
            rooms = [(limit - row[column], limit, max(0, row[3])) for limit, row in limits if limit]
            if rooms:
                room, limit, reset_ms = min(rooms)
                headers += rate_headers(what, limit, room, -(-reset_ms // 1000) if room < limit else 0)
        limit = getattr(scopes[index].limits, unit.value)
        return refusal(scopes[index], unit, limit, max(1, -(-wait_ms // 1000)), headers, degraded=False)

    def _settled(self, call: RunningCall, tokens: int) -> None:
        self._running.pop(call.id, None)
        link = self._link
        if link is None:
            return
        if call.reserved is None:
            changes = [(0, 0, 0, 0)] * len(call.scopes)
        else:
            changes = [(second, tokens - taken, day, tokens - day_taken) for second, taken, day, day_taken in call.reserved]
        link.tell(self._settle_command(call.scopes, call.id, changes))

    def _settle_command(self, scopes: Sequence[Scope], call_id: bytes, changes: Sequence[tuple[int, int, int, int]]) -> bytes:
        keys = [(self._wire.get(scope.name) or _wire(scope))[0] for scope in scopes]
        numbers = [_bulk(b"%d" % number) for change in changes for number in change]
        return b"*%d\r\n$7\r\nEVALSHA\r\n%b%b%b%b%b" % (
            4 + 7 * len(scopes),
            _bulk(self._settle.sha),
            _bulk(b"%d" % (3 * len(scopes))),
            b"".join(keys),
            _bulk(call_id),
            b"".join(numbers),
        )

    def renew(self) -> None:
        """Another lease for the slots of all running calls, in one batch."""
        by_slots: dict[bytes, list[bytes]] = {}
        for call in self._running.values():
            for scope in call.scopes:
                if scope.parallel:
                    by_slots.setdefault(_keys(scope)[1], []).append(call.id)
        for slots, ids in by_slots.items():
            if self._link is not None:
                self._link.tell(packed(("EVALSHA", self._renew.sha, 1, slots, self._lease, *ids)))

    def forget_idle(self) -> None:
        """Drop what was prepared for scopes that are not busy now."""
        self._wire.clear()


def _keys(scope: Scope) -> tuple[bytes, bytes, bytes]:
    """All keys of a tenant carry its id as their hash tag: they live on one node of a cluster."""
    stem = f"bourse:limits:{{{scope.tenant_id}}}:{scope.kind}:{scope.id}".encode()
    return stem, stem + b":slots", stem + b":day"


def _wire(scope: Scope) -> tuple[bytes, bytes]:
    """The scope's keys, and its limits, as they go over the wire."""
    quota = (2 if scope.hard else 1) if scope.has_quota else 0
    numbers = (scope.requests, scope.tokens, scope.parallel, quota)
    return b"".join([_bulk(key) for key in _keys(scope)]), b"".join([_bulk(b"%d" % number) for number in numbers])


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _unpacked(command: bytes) -> list[bytes]:
    """The arguments of a packed command; none of ours holds a line break."""
    return command.split(b"\r\n")[2::2]
