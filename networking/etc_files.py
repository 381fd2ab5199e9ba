"""The text of /etc/hosts, /etc/hostname and /etc/resolv.conf (hosts(5), resolv.conf(5)), and changing them in place.

The files are bind-mounted into the container, so a new version must keep the inode.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EMBEDDED_DNS = "127.0.0.11"
HOST_GATEWAY = "host-gateway"
SYSTEM_RESOLVER = "/etc/resolv.conf"
# What systemd-resolved's stub at 127.0.0.53 asks itself; resolved.conf(5).
SYSTEMD_UPSTREAMS = "/run/systemd/resolve/resolv.conf"
SYSTEMD_STUB = "127.0.0.53"
# Docker's when the machine has no nameserver at all.
FALLBACK = ("8.8.8.8", "8.8.4.4")

_LOCAL4 = "127.0.0.1\tlocalhost\n"
_LOCAL6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """What a resolv.conf says; addresses may carry a zone ("fe80::1%eth0")."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def hosts_text(
    addresses: Sequence[str],
    *,
    hostname: str,
    domainname: str = "",
    extra: Sequence[tuple[str, str]] = (),
    ipv6: bool = True,
) -> str:
    """Return /etc/hosts of a container with its own `addresses`; `extra` hosts are (name, address)."""
    lines = [_LOCAL4, _LOCAL6 if ipv6 else ""]
    lines += [f"{address}\t{name}\n" for name, address in extra]
    names = f"{hostname}.{domainname} {hostname}" if domainname else _fqdn_first(hostname)
    lines += [f"{address}\t{names}\n" for address in addresses]
    return "".join(lines)


def host_network_hosts(machine: str, extra_hosts: Sequence[tuple[str, str]]) -> str:
    """Return /etc/hosts for `network_mode: host`: the machine's own text, unless there are extra hosts."""
    if not extra_hosts:
        return machine
    return hosts_text((), hostname="", extra=extra_hosts)


def resolve_extra_hosts(
    extra_hosts: Sequence[tuple[str, str]], gateways: Sequence[str]
) -> list[tuple[str, str]]:
    """Return `extra_hosts` with "host-gateway" replaced by the container's gateways (IPv4, IPv6, or both).

    Raises NetworkError when there is none: the container has no network, or only others' (macvlan).
    """
    result = []
    for name, address in extra_hosts:
        if address != HOST_GATEWAY:
            result.append((name, address))
            continue
        if not any(gateways):
            raise NetworkError(
                f"extra_hosts: {name}: host-gateway: this machine is on none of the container's networks",
                hint="give the service a bridge network",
            )
        result += [(name, gateway) for gateway in gateways if gateway]
    return result


def hostname_text(hostname: str) -> str:
    """Return /etc/hostname."""
    return hostname + "\n"


def parse_resolv(text: str) -> Resolver:
    """Return what a resolv.conf says (resolv.conf(5)); the last `search` or `domain` counts, junk doesn't."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split("#")[0].split(";")[0].split() or [""]
        if word == "nameserver" and rest and is_address(rest[0]):
            nameservers.append(rest[0])
        elif word in {"search", "domain"}:
            search = tuple(rest)
        elif word == "options":
            options += rest
    return Resolver(nameservers=tuple(nameservers), search=search, options=tuple(options))


def machine_resolver(root: str = "") -> Resolver:
    """Return the machine's resolver settings, looking behind systemd-resolved's stub as Docker does."""
    resolver = parse_resolv(_read(root + SYSTEM_RESOLVER))
    if resolver.nameservers == (SYSTEMD_STUB,):
        behind = parse_resolv(_read(root + SYSTEMD_UPSTREAMS))
        if behind.nameservers:
            return replace(resolver, nameservers=behind.nameservers)
    return resolver


def override(
    resolver: Resolver, *, dns: Sequence[str] = (), search: Sequence[str] = (), options: Sequence[str] = ()
) -> Resolver:
    """Return `resolver` with a service's `dns`, `dns_search` ("." for none) and `dns_opt` in their places."""
    return Resolver(
        nameservers=tuple(dns) or resolver.nameservers,
        search=tuple(domain for domain in search if domain != ".") if search else resolver.search,
        options=tuple(options) or resolver.options,
    )


def resolv_conf_text(
    *,
    embedded: bool,
    dns: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    machine: Resolver | None = None,
) -> str:
    """Return /etc/resolv.conf: naming our server when `embedded`, else `dns` or the machine's servers.

    `search` and `options` are a service's `dns_search` and `dns_opt`. `machine` is machine_resolver()
    unless given.
    """
    resolver = override(machine or machine_resolver(), dns=dns, search=search, options=options)
    if embedded:
        resolver = replace(resolver, nameservers=(EMBEDDED_DNS,))
        if not any(option.startswith("ndots:") for option in resolver.options):
            resolver = replace(resolver, options=(*resolver.options, "ndots:0"))
    lines = ["# made by pycompose; kept as it is once it was changed\n"]
    lines += [f"nameserver {server}\n" for server in resolver.nameservers]
    if resolver.search:
        lines.append(f"search {' '.join(resolver.search)}\n")
    if resolver.options:
        lines.append(f"options {' '.join(resolver.options)}\n")
    return "".join(lines)


def upstreams(machine: Resolver | None = None) -> tuple[str, ...]:
    """Return the servers that our server asks: the machine's, or Docker's public ones when it has none."""
    return (machine or machine_resolver()).nameservers or FALLBACK


def write_in_place(path: Path, text: str, *, known: str | None = None) -> bool:
    """Write `text` into the file at `path`, keeping its inode, and tell whether that was done.

    With `known`, only while the file still says that: once the user changed it, it is theirs. Creates the
    file (0644) when there is none. Raises NetworkError, also for a file that the container has a lease on
    (fcntl(2), F_SETLEASE): to wait for its end takes up to 45 s.
    """
    data = text.encode()
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            if known is not None and os.pread(fd, len(known.encode()) + 1, 0) != known.encode():
                return False
            os.pwrite(fd, data, 0)  # first write, then cut: no reader ever finds the file empty
            os.ftruncate(fd, len(data))
        finally:
            os.close(fd)
    except BlockingIOError as exc:
        raise NetworkError(f"{path}: write: a process in the container holds a lease on it") from exc
    except OSError as exc:
        raise NetworkError(f"{path}: write: {os.strerror(exc.errno or 0)}") from exc
    return True


def is_address(text: str) -> bool:
    """Tell whether `text` is an IP address, with or without a zone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _fqdn_first(hostname: str) -> str:
    short = hostname.partition(".")[0]
    return f"{hostname} {short}" if short != hostname else hostname


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
