"""One text from the network: asked for only if it changed, tried a few times, never longer than agreed."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from backend import __version__
from backend.kernel.addresses import AddressPolicy, AddressRefused
from backend.kernel.http import OutboundClient, ResponseTooLarge
from backend.settings import NetworkSettings

TRIES = 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
_MOST_HEADER = 1000

Pause = Callable[[float], Awaitable[None]]


class FetchFailed(Exception):
    """Why there is no text, in a sentence for the operator. `status` is what the server answered at last, None where it did not."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Fetched:
    """`text` is None where the server says that what we have is the newest."""

    text: bytes | None
    etag: str | None = None
    last_modified: str | None = None


def client(network: NetworkSettings) -> OutboundClient:
    """For calls out that no caller of `/v1` waits for, as the settings allow them. Close it."""
    return OutboundClient(AddressPolicy(network.allow_private_fetch), proxy=network.proxy, ca_file=network.ca_file)


async def fetch(
    http: OutboundClient,
    url: str,
    *,
    etag: str | None = None,
    last_modified: str | None = None,
    max_bytes: int,
    pause: Pause = asyncio.sleep,
) -> Fetched:
    """The text at the address, if it is another than the one with this etag or date.

    Raises:
        FetchFailed: it could not be had.
    """
    headers = {"user-agent": f"bourse/{__version__}", "accept": "application/json, text/csv, text/plain, */*;q=0.5"}
    if etag is not None:
        headers["if-none-match"] = etag
    if last_modified is not None:
        headers["if-modified-since"] = last_modified
    status: int | None = None
    for number in range(1, TRIES + 1):
        wait = FIRST_PAUSE * 2 ** (number - 1) * random.uniform(0.5, 1.5)
        try:
            answer = await http.get(url, headers=headers, max_bytes=max_bytes)
        except AddressRefused as error:
            raise FetchFailed(error.message) from None
        except ResponseTooLarge:
            raise FetchFailed(f"it is longer than {max_bytes:,} bytes (ingestion.max_bytes)") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            status = None
            trouble = f"{type(error).__name__}: {str(error) or 'no answer'}"[:300]
        else:
            status = answer.status_code
            if status == 304 and (etag is not None or last_modified is not None):
                return Fetched(None, etag, last_modified)
            if status == 200:
                return Fetched(answer.content, _header(answer, "etag"), _header(answer, "last-modified"))
            if 300 <= status < 400:
                raise FetchFailed(
                    f"it answers {status} and points to {answer.headers.get('location', 'nowhere')[:300]}: set that as its url", status
                )
            trouble = f"it answers {status}"
            if status != 429 and status < 500:
                raise FetchFailed(trouble, status)
            asked = retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
            if asked is not None and asked > LONGEST_PAUSE:
                raise FetchFailed(f"{trouble} and asks to wait {asked:.0f} s", status)
            wait = max(wait, asked or 0.0)
        if number < TRIES:
            await pause(min(wait, LONGEST_PAUSE))
    raise FetchFailed(f"{trouble}, {TRIES} times", status)


def retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds to wait, from a `Retry-After` header in either of its forms; None where it says nothing that can be read."""
    if text is None:
        return None
    if text.strip().isdecimal() and len(text) < 12:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


def _header(answer: httpx.Response, name: str) -> str | None:
    value: str | None = answer.headers.get(name)
    return value if value is not None and len(value) <= (64 if name == "last-modified" else _MOST_HEADER) else None
