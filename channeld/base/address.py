"""Which network addresses belong to the public Internet.

Rule: what is not surely public counts as private; an IPv6 address that carries an IPv4 address (mapped, 6to4, NAT64) is judged by that one.
Pure.
"""

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 4291, 2.4: the only part of IPv6 that global unicast addresses are given from.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """The address may be anybody's: not loopback, private, link-local, shared (100.64/10), multicast or reserved."""
    if isinstance(address, ipaddress.IPv6Address):
        carried = _carried(address)
        if carried is None:
            return address in _GLOBAL_UNICAST and address.is_global
        address = carried
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
