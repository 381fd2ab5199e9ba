"""`build --print`: what `docker buildx bake` would be told, as Docker Compose 2.40 writes it (build_bake.go)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pycompose.build.requests import SERVICE
from pycompose.build.services import image_name
from pycompose.engine.dataclass import dataclass, field
from pycompose.labels import PROJECT
from pycompose.labels import SERVICE as SERVICE_LABEL
from pycompose.labels import VERSION as VERSION_LABEL
from pycompose.version import VERSION

if TYPE_CHECKING:
    from pycompose.model import Project, Service

_REMOTE = re.compile(r"^[a-z+]+://|^git@")
DOCKERFILE = "Dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeFlags:
    """What a command says on top of the file."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    ssh: Sequence[str] = ()
    no_cache: bool = False
    pull: bool = False
    push: bool = False
    check: bool = False


def bake(project: Project, services: Sequence[str], flags: BakeFlags) -> dict[str, Any]:
    """Return the bake file for services with a `build:`, those they are built upon among them."""
    targets = {name: _target(project, project.services[name], flags) for name in sorted(services)}
    return {
        "group": {"default": {"targets": [_name(name) for name in targets]}},
        "target": {_name(name): target for name, target in targets.items()},
    }


def _name(service: str) -> str:
    """Return the target's name: dots mean something to bake."""
    return service.replace(".", "_")


def _target(project: Project, service: Service, flags: BakeFlags) -> dict[str, Any]:
    assert service.build is not None  # noqa: S101 - the caller has chosen it
    tree = service.build.tree
    context = str(tree.get("context") or ".")
    inline = tree.get("dockerfile_inline")
    given = {str(key): value for key, value in (tree.get("args") or {}).items() if value is not None}
    labels = {str(key): str(value) for key, value in (tree.get("labels") or {}).items()}
    labels |= {PROJECT: project.name, SERVICE_LABEL: service.name, VERSION_LABEL: VERSION}
    platforms = [
        str(item) for item in tree.get("platforms") or ([service.platform] if service.platform else ())
    ]
    target = {
        "context": context,
        "contexts": _contexts(tree.get("additional_contexts") or {}),
        "dockerfile": ""
        if inline is not None
        else _dockerfile(context, str(tree.get("dockerfile") or DOCKERFILE)),
        "dockerfile-inline": inline,
        "args": dict(sorted({**given, **flags.arguments}.items())),
        "labels": dict(sorted(labels.items())),
        "tags": [*(str(tag) for tag in tree.get("tags") or ()), image_name(project, service.name)],
        "cache-from": list(tree.get("cache_from") or ()),
        "cache-to": list(tree.get("cache_to") or ()),
        "target": tree.get("target"),
        "secret": [_secret(project, item) for item in tree.get("secrets") or ()],
        "ssh": [_agent(str(item)) for item in (*(tree.get("ssh") or ()), *flags.ssh)],
        "platforms": platforms,
        "pull": flags.pull or bool(tree.get("pull")),
        "no-cache": flags.no_cache or bool(tree.get("no_cache")),
        "network": tree.get("network"),
        "no-cache-filter": list(tree.get("no_cache_filter") or ()),
        "shm-size": str(tree["shm_size"]) if tree.get("shm_size") else "",
        "ulimits": _limits(tree.get("ulimits") or {}),
        "call": "lint" if flags.check else "",
        "entitlements": _entitlements(tree),
        "extra-hosts": dict(str(item).split("=", 1) for item in tree.get("extra_hosts") or ()),
        "output": [] if flags.check else [_output(service, len(platforms) > 1, flags)],
        "attest": _attestations(tree),
    }
    return {
        key: value
        for key, value in target.items()
        if value not in ("", None, False, [], {}) or key == "context"
    }


def _contexts(given: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in sorted(given.items()):
        text = str(value)
        found[name] = f"target:{_name(text.removeprefix(SERVICE))}" if text.startswith(SERVICE) else text
    return found


def _dockerfile(context: str, name: str) -> str:
    return name if name.startswith("/") or _REMOTE.match(context) else f"{context.rstrip('/')}/{name}"


def _secret(project: Project, item: Mapping[str, Any]) -> str:
    declared = project.secrets.get(str(item["source"]))
    name = str(item.get("target") or item["source"])
    if declared is not None and declared.variable:
        return f"id={name},type=env,env={declared.variable}"
    return f"id={name},type=file,src={declared.file if declared is not None else ''}"


def _agent(text: str) -> str:
    name, _, path = re.sub(r"^([^:=]+): ?", r"\1=", text).partition("=")
    return f"{name}={path}"


def _limits(given: Mapping[str, Any]) -> list[str]:
    found = []
    for name, value in sorted(given.items()):
        single = isinstance(value, (int, str))
        found.append(f"{name}={value}" if single else f"{name}={value['soft']}:{value['hard']}")
    return found


def _entitlements(tree: Mapping[str, Any]) -> list[str]:
    found: Iterable[str] = [str(item) for item in tree.get("entitlements") or ()]
    return [*dict.fromkeys([*found, *(["security.insecure"] if tree.get("privileged") else [])])]


def _output(service: Service, several: bool, flags: BakeFlags) -> str:  # noqa: FBT001 - platforms
    push = flags.push and bool(service.image)
    if several:
        return f"type=image,push={str(push).lower()}"
    return "type=registry" if push else "type=docker"


def _attestations(tree: Mapping[str, Any]) -> list[str]:
    found = []
    for kind in ("provenance", "sbom"):
        value = str(tree.get(kind) or "").lower()
        if value and value != "false":
            found.append(f"type={kind}" if value == "true" else f"type={kind},{value}")
    return found
