"""A service's `build:` → what the builder is asked. What can't be done is an error here, before anything runs."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.cacheoptions import INLINE, cache_source, cache_target
from pycompose.engine.builder.contexts import OpenedContext, is_remote_context, read_inside
from pycompose.engine.builder.request import INLINE_NAME, BuildRequest, Secret, check_rlimit
from pycompose.engine.config import Rlimit
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import BuildError
from pycompose.engine.images.spec import Platform, machine
from pycompose.labels import PROJECT
from pycompose.labels import SERVICE as SERVICE_LABEL
from pycompose.labels import VERSION as VERSION_LABEL
from pycompose.version import VERSION

if TYPE_CHECKING:
    from pycompose.build.contexts import Contexts
    from pycompose.model import Project, Service

SERVICE = "service:"
DOCKERFILE = "Dockerfile"
IMAGE = "docker-image://"
_LAYOUT = "oci-layout://"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFlags:
    """What a command says on top of the file."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    pull: bool = False
    ssh: tuple[str, ...] = ()
    memory_bytes: int | None = None
    quiet: bool = False
    # Images that are built at the same time; None for as many as we think right.
    parallel: int | None = None


def service_request(
    project: Project,
    service: Service,
    flags: BuildFlags,
    environment: Mapping[str, str],
    opener: Contexts,
) -> BuildRequest:
    """Return the request for a service with a `build:`. Raises BuildError for what can't be built.

    Contexts from elsewhere are fetched, and are there as long as `opener` is.
    """
    assert service.build is not None  # noqa: S101 - the caller has chosen it
    tree = service.build.tree
    what = f"service {service.name}: build"
    labels = {str(key): str(value) for key, value in (tree.get("labels") or {}).items()}
    labels |= {PROJECT: project.name, SERVICE_LABEL: service.name, VERSION_LABEL: VERSION}
    no_cache: tuple[str, ...] | None = () if flags.no_cache or tree.get("no_cache") else None
    if no_cache is None and tree.get("no_cache_filter"):
        no_cache = tuple(tree["no_cache_filter"])
    arguments = {
        key: value if value is not None else environment.get(key, "")
        for key, value in (tree.get("args") or {}).items()
        if value is not None or key in environment
    } | dict(flags.arguments)
    latest_s = epoch(arguments, environment)
    given = secrets(project, tree.get("secrets") or (), what)
    ssh = agents([*_agents(tree.get("ssh") or ()), *flags.ssh], environment, what, opener)
    if not tree.get("context"):  # the loader gives one to every section but `build: ""`
        raise BuildError(f"{what}: please specify build context", hint='for example "." for this folder')
    context = opener.open(str(tree["context"]), what, given, ssh, keep_git_dir=keeps_git_dir(arguments))
    text, name = dockerfile_text(tree, context, what)
    return BuildRequest(
        dockerfile=text,
        names=(f"{project.name}/{service.name}",),
        dockerfile_name=name,
        context=context.folder,
        context_name=context.name,
        ignore_text=ignored(context, name),
        target=str(tree.get("target") or ""),
        arguments=with_epoch(arguments, latest_s),
        labels=labels,
        contexts=contexts(tree.get("additional_contexts") or {}, what, opener, given, ssh),
        secrets=given,
        ssh=ssh,
        platform=platform(tree.get("platforms") or (), service.platform, what),
        network=network(str(tree.get("network") or "default"), what),
        extra_hosts=tuple(tree.get("extra_hosts") or ()),
        memory_bytes=flags.memory_bytes,
        shm_bytes=int(tree.get("shm_size") or 0) or BuildRequest(dockerfile="").shm_bytes,
        rlimits=tuple(rlimits(tree.get("ulimits") or {}, what)),
        no_cache=no_cache,
        pull=flags.pull or bool(tree.get("pull")),
        allow_insecure="security.insecure" in (tree.get("entitlements") or ())
        or bool(tree.get("privileged")),
        allow_host_network="network.host" in (tree.get("entitlements") or ()),
        source_date_epoch=latest_s,
        tags=tuple(tree.get("tags") or ()),
        warnings=tuple(_unbuilt(tree.get("platforms") or ())),
        **caches(tree, arguments, Path(project.directory), what),
    )


def caches(tree: Mapping[str, Any], arguments: Mapping[str, str], folder: Path, what: str) -> dict[str, Any]:
    """Return the request's fields for caches from and to elsewhere; paths start at `folder`. Raises BuildError."""
    sources = [
        cache_source(str(item), f"{what}: cache_from", folder) for item in tree.get("cache_from") or ()
    ]
    targets = [cache_target(str(item), f"{what}: cache_to", folder) for item in tree.get("cache_to") or ()]
    return {
        "cache_from": tuple(sources),
        "cache_to": tuple(place for place in targets if place.kind != INLINE),
        "inline_cache": any(place.kind == INLINE for place in targets)
        or arguments.get("BUILDKIT_INLINE_CACHE", "").lower() in ("1", "true"),
    }


def keeps_git_dir(arguments: Mapping[str, str]) -> bool:
    """Tell whether a repository as context comes with its .git."""
    return arguments.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "").lower() in ("1", "true")


def dockerfile_text(tree: Mapping[str, Any], context: OpenedContext, what: str) -> tuple[str, str]:
    """Return the Dockerfile's text and the name that errors give it. Raises BuildError."""
    inline = tree.get("dockerfile_inline")
    if inline is not None:
        return str(inline), INLINE_NAME
    name = str(tree.get("dockerfile") or DOCKERFILE)
    if context.folder is None:
        return context.dockerfile, "Dockerfile"
    if context.name:
        return read_dockerfile(Path(name), what, context), name
    path = context.folder / name
    shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    return read_dockerfile(path, what), shown


def read_dockerfile(path: Path, what: str, inside: OpenedContext | None = None) -> str:
    """Return the text of a Dockerfile; in a context that was fetched, nothing leads out of it.

    Raises BuildError with what may have been meant.
    """
    folder = inside.folder if inside is not None else None
    try:
        if folder is not None:
            return read_inside(folder, str(path))
        # Line ends stay: those of here-documents are content.
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError as exc:
        if path.name == DOCKERFILE:  # BuildKit's fallback (dockerui)
            with contextlib.suppress(BuildError):
                return read_dockerfile(path.with_name(DOCKERFILE.lower()), what, inside)
        hint = None
        place = (folder or Path()) / path.parent
        if place.is_dir():
            near = [name for name in sorted(os.listdir(place)) if "dockerfile" in name.lower()]
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


def ignored(context: OpenedContext, dockerfile: str) -> str:
    """Return the patterns of a context, whose files may come from elsewhere."""
    if context.folder is None:
        return ""
    if not context.name:
        return ignore_text(context.folder, dockerfile)
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        with contextlib.suppress(OSError):
            return read_inside(context.folder, name)
    return ""


def contexts(
    given: Mapping[str, str],
    what: str,
    opener: Contexts,
    secrets: Mapping[str, Secret],
    ssh: Mapping[str, str],
) -> dict[str, str]:
    """Return `additional_contexts` as folders and images; raises BuildError for what is none."""
    found = {}
    for name, value in given.items():
        if value.startswith((IMAGE, SERVICE)):
            found[name] = value
        elif value.startswith(_LAYOUT):
            found[name] = IMAGE + _layout(value.removeprefix(_LAYOUT), f"{what}: context {name}: {value}")
        elif is_remote_context(value) and not Path(value).is_dir():
            opened = opener.open(value, f"{what}: context {name}", secrets, ssh)
            if opened.folder is None:
                raise BuildError(f"{what}: context {name}: {value}: is neither a repository nor an archive")
            found[name] = str(opened.folder)
        elif not Path(value).is_dir():
            # Bake's word; Compose takes it for a path.
            other = os.path.basename(value).partition("target:")[2]
            raise BuildError(
                f"{what}: context {name}: {value}: is no directory",
                hint=f"another service is service:{other}, in a compose file" if other else None,
            )
        else:
            found[name] = value
    return found


def _layout(text: str, what: str) -> str:
    """Return the reference of an image in an OCI layout: `PATH[:TAG][@DIGEST]`. Raises BuildError."""
    path, _, digest = text.partition("@")
    folder, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        folder, tag = path, ""
    if not (Path(folder) / "index.json").is_file():
        raise BuildError(f"{what}: there is no OCI layout", hint="it is a folder with an index.json")
    inner = digest or tag
    return f"oci:{Path(folder).absolute()}" + (f":{inner}" if inner else "")


def with_services(request: BuildRequest, images: Mapping[str, str]) -> BuildRequest:
    """Return `request` with `service:x` contexts replaced by the images of those services."""
    replaced = {
        name: IMAGE + images[value.removeprefix(SERVICE)] if value.startswith(SERVICE) else value
        for name, value in request.contexts.items()
    }
    return replace(request, contexts=replaced)


def secrets(project: Project, wanted: Sequence[Mapping[str, Any]], what: str) -> dict[str, Secret]:
    """Return the secrets that steps may mount, by the id they ask for. Raises BuildError."""
    found = {}
    for item in wanted:
        source = str(item["source"])
        name = str(item.get("target") or source)
        declared = project.secrets.get(source)
        if declared is None:
            raise BuildError(f"{what}: secret {source}: not declared", hint="declare it under secrets:")
        if declared.file:
            found[name] = Secret(id=name, path=declared.file)
        elif declared.variable:
            value = declared.environment
            given = None if value is None else value.encode("utf-8", "surrogateescape")
            found[name] = Secret(id=name, value=given, variable=declared.variable)
        elif declared.external:
            raise BuildError(
                f"{what}: secret {source}: is external: builds get secrets from files, variables and the compose file"
            )
        else:
            found[name] = Secret(id=name, value=(declared.content or "").encode("utf-8", "surrogateescape"))
    return found


def _agents(given: Sequence[Any]) -> list[str]:
    """Return `ssh:` entries as `id` or `id=path`."""
    return [re.sub(r"^([^:=]+): ?", r"\1=", str(item)) for item in given]


def agents(
    given: Sequence[str], environment: Mapping[str, str], what: str, opener: Contexts
) -> dict[str, str]:
    """Return agents' sockets by id: the caller's own without a path; keys in files get one. Raises BuildError."""
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
        elif not Path(path).is_socket():
            path = opener.agent(path.split(","), f"{what}: ssh {name}")
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


def _unbuilt(platforms: Sequence[str]) -> list[str]:
    """Return what is said about platforms that are left out because this machine's is among them."""
    others = [str(item) for item in platforms if Platform.parse(str(item)) != machine()]
    return [f"platforms: {', '.join(others)} not built: this machine runs {machine()}"] if others else []


def network(given: str, what: str) -> str:
    """Return the network of the steps: default, none or host. Raises BuildError for another."""
    if given in ("default", "bridge", ""):
        return "default"
    if given in ("none", "host"):
        return given
    raise BuildError(f"{what}: network {given}: builds know default, none and host")


def rlimits(given: Mapping[str, Any], what: str) -> list[Rlimit]:
    """Return `ulimits` for the engine. Raises BuildError for one that the kernel doesn't know."""
    found = []
    for name, value in given.items():
        check_rlimit(name, what)
        soft, hard = (value, value) if isinstance(value, int) else (value["soft"], value["hard"])
        found.append(Rlimit(name=name, soft=int(soft), hard=int(hard)))
    return found


def with_epoch(arguments: Mapping[str, str], latest_s: int | None) -> dict[str, str]:
    """Return build arguments with SOURCE_DATE_EPOCH, which a Dockerfile may declare, among them."""
    return {**arguments, **({} if latest_s is None else {"SOURCE_DATE_EPOCH": str(latest_s)})}


def epoch(arguments: Mapping[str, str], environment: Mapping[str, str]) -> int | None:
    """Return SOURCE_DATE_EPOCH from the arguments, else from the environment. Raises BuildError."""
    text = arguments.get("SOURCE_DATE_EPOCH") or environment.get("SOURCE_DATE_EPOCH") or ""
    if not text:
        return None
    if not text.isdecimal():
        raise BuildError(f"SOURCE_DATE_EPOCH={text}: is no number of seconds")
    return int(text)
