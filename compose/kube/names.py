"""Names that a cluster takes: DNS labels of RFC 1035, as Services need them, which is the strictest kind."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pycompose.kube.values import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycompose.config.tree import Map, Path
    from pycompose.kube.remarks import Remarks
    from pycompose.model import Service

# Room for what is put behind names ("-published", a Job's hash) below the 63 of a DNS label.
LONGEST = 52
_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# Attributes whose text may hold the name of a service as that of a machine.
_TEXTS = ("environment", "command", "entrypoint", "healthcheck", "extra_hosts", "configs", "secrets")


def label(text: str) -> str:
    """Return the DNS label for a name: lower case, letters, digits and hyphens, beginning with a letter."""
    name = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    if not name or not name[0].isalpha():
        name = f"x{name}" if name else f"x{digest(text)}"
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 9].rstrip('-')}-{digest(text)}"
    return name


def service_names(tree: Map, services: Mapping[str, Service], remarks: Remarks) -> dict[str, str]:
    """Return the name in the cluster of each service; what is renamed, and two of one name, are found."""
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for key in services:
        name = names[key] = label(key)
        other = owners.setdefault(name, key)
        if other != key:
            refuse_shared(remarks, ("services", key), name, other)
        elif name == "kubernetes":
            remarks.warning(
                ("services", key), "is what the cluster's own API is called in the namespace default"
            )
        elif name != key:
            used = ", ".join(_uses(tree, key))
            remarks.warning(
                ("services", key), f"becomes {name}{f'; {key} is used in {used}' if used else ''}"
            )
    return names


def given_name(remarks: Remarks, path: Path, name: str) -> str:
    """Return the name of an object that the cluster has already; one that no object can have becomes one that can."""
    if _OBJECT.fullmatch(name):
        return name
    remarks.warning(path, f"{name} becomes {label(name)}: no object of a cluster can be called so")
    return label(name)


def refuse_shared(remarks: Remarks, path: Path, name: str, other: str) -> None:
    """Say that two things would be one object: the second would take the first one's place."""
    remarks.error(path, f"its name in a cluster would be {name}, which is that of {other} too")


def _uses(tree: Map, name: str) -> Iterator[str]:
    """Yield where the name of a service is written as a word of a text, which nobody changes."""
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    for service, node in tree["services"].items():
        for key in _TEXTS:
            value = node.get(key)
            items = value.items() if key == "environment" and isinstance(value, dict) else (("", value),)
            for variable, text in items:
                if text and word.search(json.dumps(text, default=str, ensure_ascii=False)):
                    yield f"{service}.{key}{f'.{variable}' if variable else ''}"
