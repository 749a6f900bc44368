"""One question to the server that tells this machine, container or pod who it is in its cloud, or to one that makes a credential of that.

An operator's configuration chooses the source of credentials; only then is any of these asked. Whatever goes wrong is said for operators.
"""

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from backend.kernel.secrets import SecretUnavailable
from backend.providers.http import THE_MACHINE, AddressForbidden, BrokenOff, NotConnected, NotHttp, TooLarge, UpstreamHttp

ANSWER_SECONDS = 5.0
CONNECT_SECONDS = 2.0
MAX_BYTES = 64 * 1024


class Told(NamedTuple):
    status: int
    text: str


async def asked(http: UpstreamHttp, who: str, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Told:
    """What is answered, whatever its status.

    Args:
        http: `UpstreamHttp.for_machine` for the machine's own addresses.
        who: who is asked, to begin a sentence with.

    Raises:
        SecretUnavailable: there is no answer within five seconds.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            target = http.target(url, {"accept": "*/*", "user-agent": "bourse", **headers}, method=method)
            answer = await http.post(target, body, "", connect_seconds=CONNECT_SECONDS)
            try:
                return Told(answer.status, (await answer.read_whole(MAX_BYTES)).decode("utf-8", "replace"))
            finally:
                # Where its body was not read to the end, the connection is dropped.
                answer.close()
    except TimeoutError:
        raise SecretUnavailable(f"{who} did not answer in time") from None
    except AddressForbidden:
        raise SecretUnavailable(f"{who} is at an address that may not be called") from None
    except (NotConnected, BrokenOff, NotHttp, TooLarge):
        raise SecretUnavailable(f"{who} cannot be reached") from None
    except ValueError:
        raise SecretUnavailable(f"{who} has no address that can be called") from None


def is_of_the_machine(url: str) -> bool:
    """Whether the URL names this machine itself, or one of the addresses at which clouds answer it."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return not ip_address(host).is_global and THE_MACHINE.permits(host)
    except ValueError:
        return False
