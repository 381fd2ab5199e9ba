"""Which proxy a request takes: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY as Docker reads them.

Go's golang.org/x/net/http/httpproxy: lower case counts first; NO_PROXY has names (with their subdomains),
addresses, networks and ports; `*` is everything. Loopback never goes through a proxy.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_for(scheme: str, host: str, port: int, environment: Mapping[str, str]) -> str:
    """Return the proxy's URL for a request, "" for a direct one."""
    if is_loopback(host) or _excluded(host, port, _variable(environment, "NO_PROXY")):
        return ""
    url = _variable(environment, f"{scheme.upper()}_PROXY") or _variable(environment, "ALL_PROXY")
    return url if "://" in url or not url else f"http://{url}"


def _variable(environment: Mapping[str, str], name: str) -> str:
    # HTTP_PROXY in a CGI program is a header that a client sent (httpoxy, CVE-2016-5385).
    if name == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
        return environment.get("http_proxy", "")
    return environment.get(name.lower()) or environment.get(name) or ""


def is_loopback(host: str) -> bool:
    """Tell whether `host` is localhost or an address of 127.0.0.0/8 or ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = address_of(host)
    return address is not None and address.is_loopback


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that `host` is, None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _excluded(host: str, port: int, rules: str) -> bool:
    address = address_of(host)
    for raw in rules.split(","):
        rule = raw.strip().lower()
        if not rule:
            continue
        if rule == "*":
            return True
        if address is not None and "/" in rule:
            try:
                if address in ipaddress.ip_network(rule, strict=False):
                    return True
            except ValueError:
                pass
            continue
        name, colon, number = rule.rpartition(":")
        if colon and number.isdigit() and "]" not in number and name.count(":") == 0:
            if int(number) != port:
                continue
            rule = name
        rule = rule.removeprefix("*")
        bare = rule.removeprefix(".")
        if host.lower() == bare or host.lower().endswith(f".{bare}"):
            return True
    return False
