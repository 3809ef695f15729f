"""What counts as one client of HTTP, by its address. Pure."""

import ipaddress


def address_key(address: str) -> str:
    """What counts as one address: of IPv6 the /64, for a single machine has all of it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((int(found) >> 64 << 64, 64)))


def is_loopback(address: str) -> bool:
    """Of this machine."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
