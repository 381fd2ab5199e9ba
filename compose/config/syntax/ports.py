"""The short forms of `ports:`: `[[ip:]host:]container[/protocol]`, with ranges and `[v6]`.

Compose specification, 05-services.md, "ports".
"""

from __future__ import annotations

PROTOCOLS = frozenset({"tcp", "udp", "sctp"})


def parse_port(text: str) -> list[dict[str, object]]:
    """Return the long forms of one short form, in the order that Compose gives them. Raises ValueError."""
    host_ip, published, container = _split(text)
    container, _, protocol = container.partition("/")
    protocol = (protocol or "tcp").lower()
    host_ip = _address(host_ip, text)
    if not container:
        raise ValueError(f"no container port in {text!r}")
    first, last = port_range(container, "container port")
    if first == 0:
        raise ValueError(f"no container port in {text!r}: 0 is none")
    hosts = port_range(published, "host port") if published else None
    if hosts and last - first != hosts[1] - hosts[0] and first != last:
        raise ValueError(
            f"the ranges {published} (host) and {container} (container) differ in length: "
            "write as many host ports as container ports, or one container port"
        )
    if protocol not in PROTOCOLS:
        raise ValueError(f"invalid protocol {protocol!r}: allowed are tcp, udp, sctp")
    ports: list[dict[str, object]] = []
    for port in sorted(range(first, last + 1), key=str):
        entry: dict[str, object] = {"mode": "ingress"}
        if host_ip:
            entry["host_ip"] = host_ip
        entry["target"] = port
        if hosts:
            # A range of host ports for one port in the container: any of them that is free.
            any_of = first == last and hosts[0] != hosts[1]
            entry["published"] = f"{hosts[0]}-{hosts[1]}" if any_of else str(hosts[0] + port - first)
        entry["protocol"] = protocol
        ports.append(entry)
    return ports


def port_range(text: str, what: str) -> tuple[int, int]:
    """Return (first, last) of "80" or "8000-8010"; what follows a second dash is dropped, as Compose does.

    Raises ValueError naming `what`.
    """
    numbers = [_port(part) for part in text.split("-")[:2]]
    if None in numbers:
        raise ValueError(f"invalid {what} {text[:60]!r}: 0 to 65535 or a range such as 8000-8010")
    start, end = numbers[0] or 0, numbers[-1] or 0
    if end < start:
        raise ValueError(f"invalid {what} range {text!r}: it ends before it begins")
    return start, end


def _port(text: str) -> int | None:
    """Return the number, None where it isn't one of a port."""
    if not text.isdecimal() or not text.isascii() or len(text) > 20 or int(text) > 0xFFFF:
        return None
    return int(text)


def is_address(text: str) -> bool:
    """Tell whether the text is an IPv4 or IPv6 address, without a zone."""
    parts = text.split(".")
    if len(parts) == 4 and all(part.isdecimal() and part.isascii() and len(part) < 4 for part in parts):
        return all(int(part) < 256 and (part == "0" or part[0] != "0") for part in parts)
    if "%" in text:
        return False
    import ipaddress  # noqa: PLC0415 - 5 ms that only IPv6 and mistakes need

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _split(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _address(host_ip: str, text: str) -> str:
    if host_ip.startswith("[") and host_ip.endswith("]"):
        host_ip = host_ip[1:-1]
    if host_ip and not is_address(host_ip):
        form = ": write an IPv6 address in brackets, [::1]:80:80" if ":" in host_ip else ""
        raise ValueError(f"invalid IP address {host_ip!r} in {text!r}{form}")
    return host_ip
