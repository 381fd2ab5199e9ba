"""Whether a model is consistent: what services refer to exists, and what they say doesn't contradict itself.

Runs on the marshalled model (Compose specification, 05-services.md). All findings are reported together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pycompose.config.defaults import NAMESPACES
from pycompose.config.tree import Map, Path, Struct, locate
from pycompose.errors import ConfigError, ConfigErrors, DependencyCycle, Location

Finding = tuple[Path, str, str | None]
ConsistencyRule = Callable[[Any, Map, Map], Iterator[Finding]]


def check_consistency(root: Map, disabled: Map) -> None:
    """Raise ConfigError, or ConfigErrors, for services that don't fit together. `disabled` are off by profile."""
    errors: list[ConfigError] = []
    for name, service in root["services"].items():
        for rule in _RULES:
            for path, reason, hint in rule(service, root, disabled):
                where = place_of(root, ("services", name, *path))
                errors.append(ConfigError(reason, location=where, hint=hint))
    errors += _container_names(root)
    errors += _secrets(root)
    if not errors and (cycle := find_cycle(root["services"])):
        where = locate(root, ("services", cycle[0], "depends_on", cycle[1]))
        errors.append(DependencyCycle(f"dependency cycle: {' -> '.join(cycle)}", location=where))
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigErrors(errors)


def place_of(root: Map, path: Path) -> Location:
    """Return where a finding stands: at the key of an entry that is wrong as a whole, else at its value."""
    node: Any = root
    for key in path:
        node = node[key]
    return locate(root, path, of_key=node is None or isinstance(node, dict))


def _image(service: Any, _root: Map, _disabled: Map) -> Iterator[Finding]:
    if not any(key in service for key in ("image", "build", "provider")):
        yield (
            (),
            "has neither an image nor a build",
            'add image: or build:; pycompose also knows "image: host"',
        )


def _build(service: Any, root: Map, _disabled: Map) -> Iterator[Finding]:
    build = service.get("build")
    if build is None:
        return
    if "dockerfile" in build and "dockerfile_inline" in build:
        yield ("build", "dockerfile_inline"), "dockerfile and dockerfile_inline exclude each other", None
    for key, context in (build.get("additional_contexts") or {}).items():
        if context.startswith("service:"):
            target = context.removeprefix("service:")
            path = ("build", "additional_contexts", key)
            if target not in root["services"]:
                yield path, f"refers to undefined service {target}", _near(target, root["services"])
            elif "build" not in root["services"][target]:
                yield path, f"service {target} has no build", None
    platforms = build.get("platforms")
    if platforms and service.get("platform") and service["platform"] not in platforms:
        yield ("build", "platforms"), f"must include the service's platform {service['platform']}", None


def _networks(service: Any, root: Map, _disabled: Map) -> Iterator[Finding]:
    networks = service.get("networks") or {}
    if service.get("network_mode") and networks:
        yield ("network_mode",), "network_mode and networks exclude each other", "leave one of them out"
        return
    for name in networks:
        if name not in (root.get("networks") or {}):
            yield (
                ("networks", name),
                f"refers to undefined network {name}",
                _near(name, root.get("networks") or ()) or _declare("networks", name),
            )


def _declare(kind: str, name: str) -> str:
    return f'declare it at the top level: "{kind}: {{{name}: {{}}}}"'


def _health(service: Any, _root: Map, _disabled: Map) -> Iterator[Finding]:
    test = (service.get("healthcheck") or {}).get("test")
    if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
        hint = "or write the test as one string, which a shell runs"
        yield (
            ("healthcheck", "test"),
            f'begins with "{test[0]}", must begin with CMD, CMD-SHELL or NONE',
            hint,
        )


def _depends_on(service: Any, root: Map, disabled: Map) -> Iterator[Finding]:
    implied = {name for _, name in _implied(service)}
    for name, dependency in (service.get("depends_on") or {}).items():
        if (
            name in root["services"]
            or (name in implied and name not in disabled)
            or (name in disabled and not dependency.get("required", True))
        ):
            continue
        if name in disabled:
            profiles = ", ".join(disabled[name].get("profiles") or ())
            yield (
                ("depends_on", name),
                f"depends on service {name}, which is disabled by its profiles ({profiles})",
                f"activate one with --profile, or write {name}: {{condition: …, required: false}}",
            )
        else:
            hint = _near(name, root["services"])
            yield ("depends_on", name), f"depends on undefined service {name}", hint


def _near(name: str, known: Any) -> str | None:
    """Return a hint with the nearest known name."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for this message

    close = get_close_matches(name, list(known), 1, 0.6)
    return f'did you mean "{close[0]}"?' if close else None


def _implied(service: Any) -> Iterator[tuple[Path, str]]:
    """Yield the services that other attributes than depends_on name, and where."""
    for key in NAMESPACES:
        if service.get(key, "").startswith("service:"):
            yield (key,), service[key].removeprefix("service:")
    for key in ("links", "volumes_from"):
        for index, entry in enumerate(service.get(key) or ()):
            if not (key == "volumes_from" and entry.startswith("container:")):
                yield (key, index), entry.split(":")[0]


def _other_services(service: Any, root: Map, disabled: Map) -> Iterator[Finding]:
    needed = service.get("depends_on") or {}
    for path, name in _implied(service):
        if name in root["services"]:
            continue
        # Normalization makes a dependency of each; without it Compose looks at network_mode alone.
        if name not in disabled and (name in needed or path == ("network_mode",)):
            yield path, f"refers to undefined service {name}", _near(name, root["services"])
        elif path == ("network_mode",) and not (name in needed and needed[name].get("required", True)):
            profiles = ", ".join(disabled[name].get("profiles") or ())
            yield path, f"refers to service {name}, which is disabled by its profiles ({profiles})", None


def _references(service: Any, root: Map, _disabled: Map) -> Iterator[Finding]:
    volumes = root.get("volumes") or {}
    for index, mount in enumerate(service.get("volumes") or ()):
        source = mount.get("source")
        if mount.get("type") == "volume" and source and source not in volumes:
            yield (
                ("volumes", index),
                f"refers to undefined volume {source}",
                _near(source, volumes) or _declare("volumes", source),
            )
    for kind in ("configs", "secrets"):
        for index, reference in enumerate(service.get(kind) or ()):
            source = reference.get("source", "")
            if source not in (root.get(kind) or {}):
                yield (kind, index), f"refers to undefined {kind[:-1]} {source}", None
    for index, reference in enumerate((service.get("build") or {}).get("secrets") or ()):
        if reference.get("source", "") not in (root.get("secrets") or {}):
            yield (
                ("build", "secrets", index),
                f"refers to undefined build secret {reference.get('source', '')}",
                None,
            )
    for name in service.get("models") or ():
        if name not in (root.get("models") or {}):
            yield ("models", name), f"refers to undefined model {name}", _declare("models", name)


_TWINS = (
    ("cpus", "limits", "cpus"),
    ("mem_limit", "limits", "memory"),
    ("mem_reservation", "reservations", "memory"),
    ("pids_limit", "limits", "pids"),
)


def _limits(service: Any, _root: Map, _disabled: Map) -> Iterator[Finding]:
    resources = (service.get("deploy") or {}).get("resources") or {}
    for key, group, twin in _TWINS:
        if key in service and group in resources and resources[group].get(twin) != service[key]:
            yield (key,), f"differs from deploy.resources.{group}.{twin}: say it once, or the same", None


def _scale(service: Any, _root: Map, _disabled: Map) -> Iterator[Finding]:
    replicas = (service.get("deploy") or {}).get("replicas")
    scale = service.get("scale")
    if scale is not None and replicas is not None and scale != replicas:
        yield ("scale",), "differs from deploy.replicas: say it once, or the same", None
    if scale is not None and scale < 0:
        yield ("scale",), f"{scale} must be greater than or equal to 0", None
    if (replicas or 0) < 0:
        yield ("deploy", "replicas"), f"{replicas} must be greater than or equal to 0", None
    if scale is not None and "deploy" in service:
        service["deploy"] = _with_replicas(service["deploy"], scale)
    count = scale if scale is not None else replicas if replicas is not None else 1
    if count > 1 and service.get("container_name"):
        yield ("container_name",), f"a container name must be unique, but there are {count} replicas", None


def _with_replicas(deploy: Map, scale: int) -> Map:
    """Return `deploy` with `scale` as its replicas, which come after the mode."""
    out = Struct({"mode": deploy["mode"]} if "mode" in deploy else {})
    out["replicas"] = scale
    out.update({key: value for key, value in deploy.items() if key not in out})
    out.at = deploy.at
    return out


def _watch(service: Any, _root: Map, _disabled: Map) -> Iterator[Finding]:
    for index, rule in enumerate((service.get("develop") or {}).get("watch") or ()):
        if not rule.get("target") and rule.get("action") not in ("rebuild", "restart"):
            yield ("develop", "watch", index), f"action {rule.get('action')} needs a target", None


def _targets(service: Any, _root: Map, _disabled: Map) -> Iterator[Finding]:
    """Two mounts on one target."""
    seen: dict[str, str] = {}
    for index, entry in enumerate(service.get("tmpfs") or ()):
        target = entry.split(":")[0]
        if target in seen:
            yield ("tmpfs", index), f"target {target} is already mounted by {seen[target]}", None
        seen[target] = f"tmpfs[{index}]"
    for index, mount in enumerate(service.get("volumes") or ()):
        target = mount.get("target", "")
        if target in seen:
            yield ("volumes", index), f"target {target} is already mounted by {seen[target]}", None
        seen[target] = f"volumes[{index}]"


def _container_names(root: Map) -> list[ConfigError]:
    seen: dict[str, str] = {}
    errors = []
    for name, service in root["services"].items():
        container = service.get("container_name")
        if container and container in seen:
            where = locate(root, ("services", name, "container_name"))
            errors.append(
                ConfigError(f"{container} is already the name of service {seen[container]}", location=where)
            )
        elif container:
            seen[container] = name
    return errors


def _secrets(root: Map) -> list[ConfigError]:
    errors = []
    for name, secret in (root.get("secrets") or {}).items():
        if not secret.get("external") and not secret.get("file") and not secret.get("environment"):
            where = place_of(root, ("secrets", name))
            errors.append(ConfigError("must declare either file or environment", location=where))
    return errors


_RULES: tuple[ConsistencyRule, ...] = (
    _image, _build, _networks, _health, _depends_on, _other_services, _references, _limits, _scale, _watch, _targets,
)  # fmt: skip


def find_cycle(services: Any) -> list[str]:
    """Return a cycle of depends_on as [a, b, a], [] when there is none; iterative, for long chains."""
    done: set[str] = set()
    for start in services:
        if start in done:
            continue
        path: list[str] = [start]
        pending = [iter(services[start].get("depends_on") or ())]
        on_path = {start}
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                finished = path.pop()
                on_path.discard(finished)
                done.add(finished)
            elif following in on_path:
                return [*path[path.index(following) :], following]
            elif following not in done and following in services:
                path.append(following)
                on_path.add(following)
                pending.append(iter(services[following].get("depends_on") or ()))
    return []
