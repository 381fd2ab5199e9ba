"""How registries are reached: mirrors, insecure ones, certificates. Docker's own files are honoured.

`/etc/pycompose/registries.json`, then `/etc/docker/daemon.json`: keys `registry-mirrors` and
`insecure-registries`; the variables PYCOMPOSE_REGISTRY_MIRRORS and PYCOMPOSE_INSECURE_REGISTRIES (separated
by commas) come before both. `/etc/docker/certs.d/HOST[:PORT]/` holds `*.crt` authorities and
`*.cert`/`*.key` client pairs.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import ImageError
from pycompose.engine.images.registry.proxies import address_of, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES = (Path("/etc/pycompose/registries.json"), Path("/etc/docker/daemon.json"))
CERTIFICATES = Path("/etc/docker/certs.d")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """`mirrors` are URLs or hosts that stand for Docker Hub.

    `insecure` hosts or networks without checked TLS.
    """

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    certificates: Path = CERTIFICATES
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, environment: Mapping[str, str], files: tuple[Path, ...] = FILES) -> RegistrySettings:
        """Return the settings of this machine. Raises ImageError for a damaged file."""
        found = {
            "registry-mirrors": _words(environment.get("PYCOMPOSE_REGISTRY_MIRRORS", "")),
            "insecure-registries": _words(environment.get("PYCOMPOSE_INSECURE_REGISTRIES", "")),
        }
        for path in files:
            for key, value in _read(path).items():
                found[key] = found[key] or value
        return cls(
            mirrors=found["registry-mirrors"],
            insecure=found["insecure-registries"],
            certificates=Path(environment.get("PYCOMPOSE_CERTS_DIR") or CERTIFICATES),
            environment=environment,
        )

    def is_insecure(self, host: str) -> bool:
        """Tell whether TLS of `host[:port]` goes unchecked, or may be missing: configured, or loopback."""
        name = host_name(host)
        if is_loopback(name) or host in self.insecure or name in self.insecure:
            return True
        address = address_of(name)
        return address is not None and any(address in network for network in _networks(self.insecure))


def host_name(host: str) -> str:
    """Return `host[:port]` without the port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _networks(rules: tuple[str, ...]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for rule in rules:
        if "/" in rule:
            try:
                found.append(ipaddress.ip_network(rule, strict=False))
            except ValueError:
                continue
    return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _read(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        value: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise ImageError(f"{path}: cannot read registry settings: {exc}") from exc
    found: dict[str, tuple[str, ...]] = {}
    for key in ("registry-mirrors", "insecure-registries"):
        items = value.get(key, []) if isinstance(value, dict) else []
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ImageError(f"{path}: {key}: expected a list of strings")
        found[key] = tuple(items)
    return found
