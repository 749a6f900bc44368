"""Which network addresses our own calls may reach: the public internet, and what the operator allows beyond it.

The rule that makes this hold: resolve the name once, check every address, and connect to exactly an address that was checked.
"""

import asyncio
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from backend.kernel.errors import BadRequest

Address = IPv4Address | IPv6Address

# Addresses that `is_global` calls public and that nevertheless lead inside: NAT64 (two), 6to4, Teredo and the old compatible form wrap
# an IPv4 address; then the old site-local network, and the address that Azure's own agents are answered at in every machine there.
_LEADING_INSIDE = tuple(
    ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "fec0::/10", "168.63.129.16/32")
)
LOOK_UPS_OF_CALLERS = 16


class AddressRefused(BadRequest):
    """The destination is not one that we may call; says so without telling what the name resolved to."""

    code = "address_not_allowed"


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """`allowed`: networks that are permitted although they are not public. `names_of_callers`: whoever names hosts is not trusted to name
    ones that are found soon. An event loop has a handful of threads for look-ups, so these have others, and hold up no provider's."""

    allowed: tuple[IPv4Network | IPv6Network, ...] = ()
    names_of_callers: bool = False

    def permits(self, text: str) -> bool:
        """Whether we may connect to this literal address."""
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        # "localhost" is both on most machines: who allows 127.0.0.1 means ::1 too.
        spellings = (address, IPv4Address("127.0.0.1")) if isinstance(address, IPv6Address) and address.is_loopback else (address,)
        if any(spelling in network for spelling in spellings for network in self.allowed):
            return True
        if any(address in network for network in _LEADING_INSIDE):
            return False
        return address.is_global and not address.is_multicast

    async def resolve(self, host: str, port: int) -> list[str]:
        """Addresses of the host that may be connected to, in the resolver's order.

        Raises:
            AddressRefused: if the host has addresses and any of them is not permitted (a mix is an attack or a mistake).
            OSError: if the name does not resolve.
        """
        loop = asyncio.get_running_loop()
        if self.names_of_callers:
            found = await loop.run_in_executor(_threads_for_callers(), partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
        else:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        self.check(host, addresses)
        return addresses

    def check(self, host: str, addresses: Iterable[str]) -> None:
        """Raise AddressRefused unless every address is permitted."""
        if not all(self.permits(address) for address in addresses):
            raise AddressRefused(
                f"{host} is in a private network. An operator can allow it under network.allow_private "
                "(for providers) or network.allow_private_fetch (for webhooks and images)."
            )


@cache
def _threads_for_callers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(LOOK_UPS_OF_CALLERS, thread_name_prefix="names of callers")
