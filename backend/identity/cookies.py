"""The sign-in cookie, and whether the browser at the other end would keep it and send it only to us.

Over https and on localhost the cookie is `__Host-bourse` (Secure, HttpOnly, SameSite=Lax, this host only). On any other plain-http
address a browser drops such a cookie, so signing in is refused there with the reason, unless the operator accepts the risk with
`server.insecure_cookies: true`: then it is `bourse`, HttpOnly and SameSite=Strict, readable by whoever can listen on the network.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from backend.identity.service import SESSION_LIFETIME
from backend.kernel.errors import BadRequest, PermissionDenied
from backend.kernel.request import Scope, header
from backend.settings import Settings

SECURE_NAME = "__Host-bourse"
PLAIN_NAME = "bourse"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Caller:
    """What a browser's request says about where it came from. `origin` is the page's own, if it is a browser that says so."""

    host: str
    https: bool
    origin: str | None

    @property
    def is_local(self) -> bool:
        """Whether the browser reached us as localhost, where it treats plain http like https."""
        return _is_loopback(_hostname(self.host))


def caller(scope: Scope, settings: Settings) -> Caller:
    """Who is asking, refused unless it is our own page or no browser at all (cross-site request forgery).

    Raises:
        PermissionDenied: another site's page sent this. BadRequest: the Host header is none.
    """
    host = (header(scope, b"host") or "").lower()
    if not _HOST.fullmatch(host):
        raise BadRequest("The Host header is missing or malformed.")
    origin = header(scope, b"origin")
    fetch_site = header(scope, b"sec-fetch-site")
    if origin is not None:
        if not _is_own(origin, host, settings):
            raise _cross_site()
    elif fetch_site not in (None, "same-origin", "none"):
        raise _cross_site()
    return Caller(host, _is_https(scope, host, origin, settings), origin)


def session_cookie(cookie_header: str, settings: Settings) -> str | None:
    """The value of the sign-in cookie in a Cookie header. The unprefixed name counts only where the operator allowed it: any
    neighbour on the same domain could have set it."""
    names = (SECURE_NAME, PLAIN_NAME) if settings.server.insecure_cookies else (SECURE_NAME,)
    found: dict[str, str] = {}
    for part in cookie_header.split(";"):
        name, _, value = part.strip().partition("=")
        found.setdefault(name, value)
    return next((found[name] for name in names if found.get(name)), None)


def set_cookie(who: Caller, value: str, settings: Settings) -> str:
    """The Set-Cookie header that keeps the session in this browser.

    Raises:
        PermissionDenied: the browser would not keep it, or anybody on the way could read it.
    """
    max_age = int(SESSION_LIFETIME.total_seconds())
    if not who.https and settings.server.insecure_cookies:
        return f"{PLAIN_NAME}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict"
    refuse_insecure_address(who, settings)
    return f"{SECURE_NAME}={value}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Lax"


def sign_in_address(path: str, query: str) -> str:
    """The sign-in page, which comes back to this address."""
    here = quote(f"{path}?{query}" if query else path or "/", safe="/")
    return f"/sign-in?next={here}"


def clear_cookies() -> tuple[str, str]:
    """The Set-Cookie headers that make the browser forget."""
    return (
        f"{SECURE_NAME}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
        f"{PLAIN_NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
    )


def refuse_insecure_address(who: Caller, settings: Settings) -> None:
    """Say before any password is checked that this address is no place to send one.

    Raises:
        PermissionDenied: plain http, not localhost, and not accepted by the operator.
    """
    if not (who.https or who.is_local or settings.server.insecure_cookies):
        raise PermissionDenied(
            f"Signing in over plain http works on localhost only: your password and session could be read on the way to {who.host}. "
            "Use https, or set server.insecure_cookies: true if you accept that.",
            code="insecure_address",
        )


def local_path(target: str | None) -> str:
    """`target` if it is a path on this site, else `/`: never another host, scheme or a trick that a browser reads as one."""
    if (
        not target
        or len(target) > 1024
        or target[0] != "/"
        or target[1:2] in ("/", "\\")
        or "\\" in target
        or any(ord(character) <= 0x20 or 0x7F <= ord(character) <= 0x9F for character in target)
    ):
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc else target


def _is_own(origin: str, host: str, settings: Settings) -> bool:
    """Host and port decide; the scheme may have been changed by a proxy that ends TLS in front of us."""
    named = urlsplit(origin)
    if named.scheme not in ("http", "https") or not _HOST.fullmatch(named.netloc):
        return False
    if named.netloc.lower() == host:
        return True
    if settings.server.public_url is not None:
        return named.netloc.lower() == urlsplit(settings.server.public_url).netloc.lower()
    # The developer's two-port mode: the page comes from localhost:3000, the API listens on localhost:8000.
    return not settings.is_production and _is_loopback(_hostname(named.netloc.lower())) and _is_loopback(_hostname(host))


def _is_https(scope: Scope, host: str, origin: str | None, settings: Settings) -> bool:
    if scope.get("scheme") == "https" or (origin or "").startswith("https://"):
        return True
    public = urlsplit(settings.server.public_url or "")
    if public.scheme == "https" and public.netloc.lower() == host:
        return True
    forwarded = header(scope, b"x-forwarded-proto") if settings.server.trusted_proxy_hops else None
    return forwarded is not None and forwarded.split(",")[-1].strip().lower() == "https"


def _hostname(netloc: str) -> str:
    return netloc.removeprefix("[").partition("]")[0] if netloc.startswith("[") else netloc.partition(":")[0]


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _cross_site() -> PermissionDenied:
    return PermissionDenied("This request came from another site.", code="cross_site")
