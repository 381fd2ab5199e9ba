"""A service's `build:` → what the builder is asked. What can't be done is an error here, before anything runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.request import BuildRequest, Secret
from pycompose.engine.config import Rlimit
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import BuildError
from pycompose.engine.images.spec import Platform, machine
from pycompose.labels import PROJECT
from pycompose.labels import SERVICE as SERVICE_LABEL
from pycompose.labels import VERSION as VERSION_LABEL
from pycompose.version import VERSION

if TYPE_CHECKING:
    from pycompose.model import Project, Service

SERVICE = "service:"
IMAGE = "docker-image://"
_REMOTE = re.compile(r"^(?:https?|git|ssh|ftp)://|^git@|^github\.com/|\.git(?:#.*)?$")
_LAYOUTS = ("oci-layout://", "target:")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFlags:
    """What a command says on top of the file."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    pull: bool = False
    ssh: tuple[str, ...] = ()
    memory_bytes: int | None = None
    quiet: bool = False


def service_request(
    project: Project, service: Service, flags: BuildFlags, environment: Mapping[str, str]
) -> BuildRequest:
    """Return the request for a service with a `build:`. Raises BuildError for what can't be built."""
    assert service.build is not None  # noqa: S101 - the caller has chosen it
    tree = service.build.tree
    what = f"service {service.name}: build"
    context = local_context(str(tree.get("context") or "."), what)
    text, name = dockerfile_text(tree, context, what)
    labels = {str(key): str(value) for key, value in (tree.get("labels") or {}).items()}
    labels |= {PROJECT: project.name, SERVICE_LABEL: service.name, VERSION_LABEL: VERSION}
    no_cache: tuple[str, ...] | None = () if flags.no_cache or tree.get("no_cache") else None
    if no_cache is None and tree.get("no_cache_filter"):
        no_cache = tuple(tree["no_cache_filter"])
    arguments = {
        key: value if value is not None else environment.get(key, "")
        for key, value in (tree.get("args") or {}).items()
        if value is not None or key in environment
    }
    return BuildRequest(
        dockerfile=text,
        dockerfile_name=name,
        context=context,
        ignore_text=ignore_text(context, name),
        target=str(tree.get("target") or ""),
        arguments={**arguments, **flags.arguments},
        labels=labels,
        contexts=contexts(tree.get("additional_contexts") or {}, what),
        secrets=secrets(project, tree.get("secrets") or (), what),
        ssh=agents([*_agents(tree.get("ssh") or ()), *flags.ssh], environment, what),
        platform=platform(tree.get("platforms") or (), service.platform, what),
        network=network(str(tree.get("network") or "default"), what),
        extra_hosts=tuple(tree.get("extra_hosts") or ()),
        memory_bytes=flags.memory_bytes,
        shm_bytes=int(tree.get("shm_size") or 0) or BuildRequest(dockerfile="").shm_bytes,
        rlimits=tuple(rlimits(tree.get("ulimits") or {})),
        no_cache=no_cache,
        pull=flags.pull or bool(tree.get("pull")),
        allow_insecure="security.insecure" in (tree.get("entitlements") or ())
        or bool(tree.get("privileged")),
        allow_host_network="network.host" in (tree.get("entitlements") or ()),
        source_date_epoch=epoch(arguments, environment),
        tags=tuple(tree.get("tags") or ()),
    )


def local_context(text: str, what: str) -> Path:
    """Return the directory of a context; raises BuildError for one that is none."""
    if _REMOTE.search(text):
        raise BuildError(
            f"{what}: context {text}: contexts are not fetched from elsewhere",
            hint="clone it, and give the directory",
        )
    path = Path(text)
    if not path.is_dir():
        reason = "is not a directory" if path.exists() else "path not found"
        raise BuildError(f"{what}: context {text}: {reason}")
    return path


def dockerfile_text(tree: Mapping[str, Any], context: Path, what: str) -> tuple[str, str]:
    """Return the Dockerfile's text and the name that errors give it. Raises BuildError."""
    inline = tree.get("dockerfile_inline")
    if inline is not None:
        return str(inline), "dockerfile_inline"
    path = context / str(tree.get("dockerfile") or "Dockerfile")
    return read_dockerfile(path, what), os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(
        path
    )


def read_dockerfile(path: Path, what: str) -> str:
    """Return the text of a Dockerfile. Raises BuildError with what may have been meant."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError as exc:
        hint = None
        if path.parent.is_dir():
            near = [name for name in sorted(os.listdir(path.parent)) if "dockerfile" in name.lower()]
            hint = f"there is {', '.join(near[:3])}" if near else "write one, or name it with dockerfile:"
        raise BuildError(f"{what}: failed to read dockerfile: {path}: no such file", hint=hint) from exc
    except OSError as exc:
        raise BuildError(f"{what}: failed to read dockerfile: {path}: {exc.strerror}") from exc


def ignore_text(context: Path, dockerfile: str) -> str:
    """Return the patterns of `DOCKERFILE.dockerignore`, else of the context's `.dockerignore`, "" without one."""
    for path in (Path(f"{dockerfile}.dockerignore"), context / ".dockerignore"):
        try:
            return path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            continue
    return ""


def contexts(given: Mapping[str, str], what: str) -> dict[str, str]:
    """Return `additional_contexts` checked; raises BuildError for a kind that is not there."""
    found = {}
    for name, value in given.items():
        if value.startswith((IMAGE, SERVICE)):
            found[name] = value
        elif value.startswith(_LAYOUTS) or _REMOTE.search(value):
            raise BuildError(f"{what}: context {name}: {value}: contexts of this kind are not possible")
        elif not Path(value).is_dir():
            raise BuildError(f"{what}: context {name}: {value}: is no directory")
        else:
            found[name] = value
    return found


def with_services(request: BuildRequest, images: Mapping[str, str]) -> BuildRequest:
    """Return `request` with `service:x` contexts replaced by the images of those services."""
    replaced = {
        name: IMAGE + images[value.removeprefix(SERVICE)] if value.startswith(SERVICE) else value
        for name, value in request.contexts.items()
    }
    return replace(request, contexts=replaced)


def secrets(project: Project, given: Sequence[Mapping[str, Any]], what: str) -> dict[str, Secret]:
    """Return the secrets that steps may mount, by the id they ask for. Raises BuildError."""
    found = {}
    for item in given:
        source = str(item["source"])
        name = str(item.get("target") or source).rpartition("/")[2]
        declared = project.secrets.get(source)
        if declared is None:
            raise BuildError(f"{what}: secret {source}: not declared", hint="declare it under secrets:")
        if declared.file:
            found[name] = Secret(id=name, path=declared.file)
        elif declared.variable:
            if declared.environment is None:
                raise BuildError(
                    f"{what}: secret {source}: environment variable {declared.variable} is not set"
                )
            found[name] = Secret(id=name, value=declared.environment.encode("utf-8", "surrogateescape"))
        else:
            found[name] = Secret(id=name, value=(declared.content or "").encode("utf-8", "surrogateescape"))
    return found


def _agents(given: Sequence[Any]) -> list[str]:
    """Return `ssh:` entries as `id` or `id=path`."""
    return [re.sub(r"^([^:=]+): ?", r"\1=", str(item)) for item in given]


def agents(given: Sequence[str], environment: Mapping[str, str], what: str) -> dict[str, str]:
    """Return agents' sockets by id; `default` is the caller's own. Raises BuildError."""
    found = {}
    for item in given:
        name, equals, path = item.partition("=")
        if not equals:
            path = environment.get("SSH_AUTH_SOCK", "")
            if not path:
                raise BuildError(
                    f"{what}: ssh {name}: invalid empty ssh agent socket",
                    hint="make sure SSH_AUTH_SOCK is set",
                )
        found[name] = path
    return found


def platform(given: Sequence[str], service: str, what: str) -> str:
    """Return the platform to build for, "" for the machine's. Raises BuildError for another one."""
    wanted = service or (given[0] if given else "")
    if not service and len(given) > 1 and any(Platform.parse(item) != machine() for item in given):
        wanted = next((item for item in given if Platform.parse(item) == machine()), wanted)
    if wanted and Platform.parse(wanted) != machine():
        raise BuildError(
            f"{what}: platform {wanted}: this machine runs {machine()}",
            hint="programs of another processor need binfmt_misc and qemu-user-static, which builds don't use yet",
        )
    return wanted


def network(given: str, what: str) -> str:
    """Return the network of the steps: default, none or host. Raises BuildError for another."""
    if given in ("default", "bridge", ""):
        return "default"
    if given in ("none", "host"):
        return given
    raise BuildError(f"{what}: network {given}: builds know default, none and host")


def rlimits(given: Mapping[str, Any]) -> list[Rlimit]:
    """Return `ulimits` for the engine."""
    found = []
    for name, value in given.items():
        soft, hard = (value, value) if isinstance(value, int) else (value["soft"], value["hard"])
        found.append(Rlimit(name=name, soft=int(soft), hard=int(hard)))
    return found


def epoch(arguments: Mapping[str, str], environment: Mapping[str, str]) -> int | None:
    """Return SOURCE_DATE_EPOCH from the arguments, else from the environment. Raises BuildError."""
    text = arguments.get("SOURCE_DATE_EPOCH") or environment.get("SOURCE_DATE_EPOCH") or ""
    if not text:
        return None
    if not text.isdecimal():
        raise BuildError(f"SOURCE_DATE_EPOCH={text}: is no number of seconds")
    return int(text)
