"""Secrets in HashiCorp Vault or OpenBao: read over its HTTP API, kept, read again in the background, and kept on while it is away.

Key-value engines of version 2 and 1; a token, an AppRole or a Kubernetes service account signs in. Sources:
developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2 (read secret version) and …/kv-v1, …/api-docs/auth/approle (login),
…/auth/kubernetes (login), …/auth/token (renew self, lookup self); OpenBao speaks the same.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import structlog

from backend.kernel.addresses import AddressPolicy, AddressRefused
from backend.kernel.secrets import SecretUnavailable
from backend.kernel.tasks import end_tasks
from backend.settings import NetworkSettings, VaultSettings

if TYPE_CHECKING:
    from backend.kernel.http import OutboundClient

log = structlog.get_logger(__name__)

MOST_BYTES = 1024 * 1024
AGAIN_SECONDS = 5.0
"""How soon somebody looks again after Vault did not answer; twice as long each time, and never longer than `LATEST_SECONDS`."""
LATEST_SECONDS = 60.0
AT_ONCE = 8
"""Paths that are read side by side."""
_EARLY = 2 / 3
"""The part of a lease after which it is renewed."""


class VaultFailed(Exception):
    """Vault did not give what it was asked for. The text is for operators, and holds nothing of what was sent."""


@dataclass(frozen=True, slots=True)
class _Kept:
    fields: dict[str, str] = field(repr=False)
    until: float
    """Monotonic seconds: then it is read again."""


class Vault:
    """One process's. `start` reads in the background, `fetch` at once; nothing is asked before."""

    def __init__(self, settings: VaultSettings, network: NetworkSettings, now: Callable[[], float] = time.monotonic) -> None:
        assert settings.address is not None
        self._settings = settings
        self._network = network
        self._address = settings.address.rstrip("/")
        self._seconds = settings.timeout.total_seconds()
        self._refresh = settings.refresh.total_seconds()
        self._now = now
        self._http: OutboundClient | None = None
        self._kept: dict[str, _Kept] = {}
        self._token = ""
        self._token_until = float("-inf")
        self._wanted: frozenset[str] = frozenset()
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._signing_in = asyncio.Lock()
        self.troubles: dict[str, str] = {}
        """By path: why it was not read the last time."""

    @property
    def away(self) -> bool:
        """Whether the newest look did not bring everything; what was read before is kept."""
        return bool(self.troubles)

    @property
    def kept(self) -> int:
        """How many secrets are in use."""
        return len(self._kept)

    def value(self, path: str, field: str) -> str:
        """What was read last.

        Raises:
            SecretUnavailable: nothing was, or there is no such field in it.
        """
        kept = self._kept.get(path)
        if kept is None:
            raise SecretUnavailable(f"vault:{path} was not read: {self.troubles.get(path, 'nobody has looked yet')}")
        if not kept.fields.get(field):
            raise SecretUnavailable(f"vault:{path} has no field {field!r}")
        return kept.fields[field]

    async def fetch(self, paths: Iterable[str]) -> None:
        """Read what was never read, unless Vault has just not answered; never raises for what Vault does."""
        self._wanted = frozenset(paths)
        unread = [path for path in self._wanted if path not in self._kept and path not in self.troubles]
        if unread:
            await self._read_all(unread)

    def start(self, changed: Callable[[], None]) -> None:
        """Read again before leases end; `changed` is called when something is another than before."""
        self._task = asyncio.get_running_loop().create_task(self._run(changed), name="vault")

    async def stop(self) -> None:
        await end_tasks(self._task)
        self._task = None
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def refresh(self) -> bool:
        """Read everything that is due; whether anything is another than before."""
        now = self._now()
        due = [path for path in self._wanted if path in self.troubles or path not in self._kept or self._kept[path].until <= now]
        return await self._read_all(due) if due else False

    async def _run(self, changed: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self._pause())
            try:
                if await self.refresh():
                    changed()
            except Exception:
                log.exception("vault.refresh_failed")

    def _pause(self) -> float:
        if self._failures:
            return min(LATEST_SECONDS, AGAIN_SECONDS * float(2 ** min(self._failures - 1, 10)))
        ends = [kept.until for path, kept in self._kept.items() if path in self._wanted]
        return max(1.0, min(ends, default=self._now() + self._refresh) - self._now())

    async def _read_all(self, paths: Iterable[str]) -> bool:
        """Whether anything is another than before. Where nobody answers, those that were not asked for yet are not: a process that starts
        while Vault is away waits for one answer, however many secrets there are."""
        changed, away = False, ""

        async def one_after_another(waiting: Iterator[str]) -> None:
            nonlocal changed, away
            for path in waiting:
                try:
                    if away:
                        raise VaultFailed(away)
                    kept = await self._read(path)
                except VaultFailed as failure:
                    self.troubles[path] = str(failure)
                    if isinstance(failure, _Closed):
                        away = str(failure)
                    elif isinstance(failure, _Gone):
                        # Somebody took it away, which is another thing than not being able to look.
                        changed = self._kept.pop(path, None) is not None or changed
                else:
                    known = self._kept.get(path)
                    changed = changed or known is None or known.fields != kept.fields
                    self._kept[path] = kept
                    self.troubles.pop(path, None)

        async with self._one_at_a_time:
            before = self.away
            waiting = iter(sorted(paths))
            # The first alone: it signs in, and finds out whether anybody answers.
            await one_after_another(islice(waiting, 1))
            await asyncio.gather(*(one_after_another(waiting) for _ in range(AT_ONCE)))
            self._failures = self._failures + 1 if self.away else 0
            if self.away and not before:
                log.warning("vault.away", reason=next(iter(self.troubles.values())))
            elif before and not self.away:
                log.info("vault.back")
        return changed

    async def _read(self, path: str) -> _Kept:
        mount, _, rest = path.partition("/")
        if path.startswith(f"{self._settings.mount}/"):
            mount, rest = self._settings.mount, path[len(self._settings.mount) + 1 :]
        data = "/data" if self._settings.kv_version == 2 else ""
        answer = await self._ask("GET", f"{quote(mount)}{data}/{quote(rest)}")
        found = answer.get("data")
        if self._settings.kv_version == 2 and isinstance(found, dict):
            found = found.get("data")
        if not isinstance(found, dict):
            raise VaultFailed("its answer holds no data (is it the other version of the key-value engine? vault.kv_version)")
        lease = _seconds(answer.get("lease_duration"))
        pause = min(self._refresh, lease * _EARLY) if lease else self._refresh
        return _Kept({str(name): str(value).strip() for name, value in found.items() if type(value) in (str, int)}, self._now() + pause)

    async def _ask(self, method: str, path: str) -> dict[str, Any]:
        """One request with a token that is good; a new one where it was not."""
        token = await self._good_token()
        try:
            return await self._send(method, path, token)
        except _Denied as denied:
            if await self._is_good(token):
                raise VaultFailed(f"the token may not read it: {denied}") from None
        try:
            return await self._send(method, path, await self._good_token(refused=token))
        except _Denied as denied:
            raise VaultFailed(str(denied)) from None

    async def _is_good(self, token: str) -> bool:
        """Whether Vault still knows it: then a new one may do no more, and each that is granted stays until it ends."""
        try:
            await self._send("GET", "auth/token/lookup-self", token)
        except (_Denied, VaultFailed):
            return False
        return True

    async def _good_token(self, refused: str = "") -> str:
        """Another one than was refused, where there is another."""
        async with self._signing_in:
            if self._token and self._token != refused and self._now() < self._token_until:
                return self._token
            await self._sign_in()
            return self._token

    async def _sign_in(self) -> None:
        settings = self._settings
        try:
            if settings.auth == "token":
                assert settings.token is not None
                self._token = settings.token.resolve()
                self._token_until = self._now() + await self._renewed(self._token)
                return
            granted = await self._send("POST", f"auth/{quote(settings.auth_mount or settings.auth)}/login", "", self._who())
        except SecretUnavailable as error:
            raise _Closed(str(error)) from None
        except _Denied as denied:
            raise _Closed(f"signing in by {settings.auth}: {denied}") from None
        auth = granted.get("auth")
        token = auth.get("client_token") if isinstance(auth, dict) else None
        if not isinstance(auth, dict) or not isinstance(token, str) or not token:
            raise _Closed(f"signing in by {settings.auth} brought no token")
        self._token = token
        self._token_until = self._now() + (_seconds(auth.get("lease_duration")) or self._refresh) * _EARLY

    async def _renewed(self, token: str) -> float:
        """How long a token of the operator's need not be renewed again. One that cannot be is used as long as it lasts."""
        try:
            answer = await self._send("POST", "auth/token/renew-self", token, {})
        except _Denied:
            return self._refresh
        auth = answer.get("auth")
        return (_seconds(auth.get("lease_duration")) if isinstance(auth, dict) else 0.0) * _EARLY or self._refresh

    def _who(self) -> dict[str, str]:
        settings = self._settings
        if settings.auth == "approle":
            assert settings.role_id is not None
            assert settings.secret_id is not None
            return {"role_id": settings.role_id.resolve(), "secret_id": settings.secret_id.resolve()}
        try:
            return {"role": settings.role or "", "jwt": settings.jwt_file.read_text().strip()}
        except OSError as error:
            raise SecretUnavailable(f"{settings.jwt_file} cannot be read: {error.strerror}") from None

    async def _send(self, method: str, path: str, token: str, body: object = None) -> dict[str, Any]:
        """Raises VaultFailed: no answer, or none that helps. _Denied: it does not take the token, or what stands for one."""
        import httpx  # whoever has no vault does not pay for it

        headers = {"x-vault-request": "true"}
        if token:
            headers["x-vault-token"] = token
        if self._settings.namespace:
            headers["x-vault-namespace"] = self._settings.namespace
        try:
            async with asyncio.timeout(2 * self._seconds):
                answer = await self._client().request(
                    method, f"{self._address}/v1/{path}", headers=headers, json=body, seconds=self._seconds, max_bytes=MOST_BYTES
                )
        except AddressRefused as refused:
            raise _Closed(f"it is not asked: {refused.message}") from None
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise _Closed(f"it does not answer ({type(error).__name__})") from None
        if answer.status_code in (400, 403):
            raise _Denied(f"it refuses (HTTP {answer.status_code})")
        if answer.status_code == 404:
            raise _Gone("there is no such secret (HTTP 404)")
        if answer.status_code == 503:
            raise _Closed("it is sealed, or being maintained (HTTP 503)")
        if answer.status_code != 200:
            raise VaultFailed(f"it fails (HTTP {answer.status_code})")
        try:
            value = answer.json()
        except ValueError:
            raise VaultFailed("its answer is no JSON") from None
        return value if isinstance(value, dict) else {}

    def _client(self) -> "OutboundClient":
        if self._http is None:
            from backend.kernel.http import OutboundClient

            network = self._network
            self._http = OutboundClient(AddressPolicy(network.allow_private), proxy=network.proxy, ca_file=network.ca_file)
        return self._http


class _Closed(VaultFailed):
    """It answers nobody, or not us: nor the next question."""


class _Gone(VaultFailed):
    """404: it was deleted, or never there."""


class _Denied(Exception):
    """400 and 403: the token, or what was to bring one, is not good."""


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0.0
