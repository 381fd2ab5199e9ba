"""POST /build: a tar comes in, lines of JSON go out (Engine API, "Build an image"); and the cache of builds."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

from pycompose.api import query
from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall, answer
from pycompose.api.progress import told
from pycompose.api.registry import credentials
from pycompose.engine.builder.request import CACHED, NOTE, OUTPUT, STARTED, WARNING, BuildEvent
from pycompose.machine import builds
from pycompose.machine.image_build import STDIN, ImageBuildOptions, UploadedBuild

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.client.context import Context

Json = dict[str, Any]
_BUILDKIT = "2"
_TITLE = re.compile(r"\[(?:(?P<stage>\S+) )?(?P<step>\d+/\d+)\] (?P<text>.*)", re.DOTALL)
# What `docker build` sends and the steps of a build don't have here.
_WITHOUT_EFFECT = (
    "cpuperiod",
    "cpuquota",
    "cpusetcpus",
    "cpusetmems",
    "cpushares",
    "memswap",
)


def build(call: ApiCall) -> ApiAnswer:
    """POST /build: by our builder, whoever asks for the classic one."""
    options = _options(call)
    if not options.path:
        raise ApiError(400, "remote=client-session: there is no BuildKit here: build with DOCKER_BUILDKIT=0")
    upload = UploadedBuild()
    quiet = query.flag(call, "q")

    def work(context: Context, say: Callable[[Json], None]) -> None:
        steps = Steps(say if not quiet else _hush)
        with credentials(call, context) as mine:
            # Nothing is said before the context is here: the upload ends with the head of our answer.
            image = upload.build(mine, options, lambda: _begin(call, steps), steps.take)
        steps.finish()
        if quiet:
            say({"stream": f"{image.id}\n"})
            return
        aux: Json = {"aux": {"ID": image.id}}
        say({"id": "moby.image.id", **aux} if query.text(call, "version") == _BUILDKIT else aux)
        say({"stream": f"Successfully built {image.id.removeprefix('sha256:')[:12]}\n"})
        for name in options.tags:
            say({"stream": f"Successfully tagged {name}\n"})

    return told(call, work, upload.cancel)


def _hush(_line: Json) -> None:
    """Say nothing."""


def _begin(call: ApiCall, steps: Steps) -> None:
    for name in _WITHOUT_EFFECT:
        if query.text(call, name) not in ("", "0"):
            steps.say({"stream": f"[Warning] {name}: has no effect on the steps of a build here\n"})


def _options(call: ApiCall) -> ImageBuildOptions:
    """Return the build that is asked for. Raises ApiError."""
    remote = query.text(call, "remote")
    if query.text(call, "outputs") not in ("", "[]", "null"):
        raise ApiError(400, "outputs: there is no BuildKit here: the image is kept")
    if query.flag(call, "squash"):
        raise ApiError(400, "squash is only supported with experimental mode")
    host = query.text(call, "networkmode") == "host"
    return ImageBuildOptions(
        path="" if remote == "client-session" else remote or STDIN,
        dockerfile=query.text(call, "dockerfile") or None,
        tags=tuple(name for name in call.query.get("t", []) if name),
        target=query.text(call, "target"),
        # One without a value is none: there is no environment of the client's here.
        build_args=tuple(f"{k}={v}" for k, v in _pairs(call, "buildargs").items() if v is not None),
        labels=tuple(f"{key}={value or ''}" for key, value in _pairs(call, "labels").items()),
        platform=query.text(call, "platform"),
        network=query.text(call, "networkmode"),
        allow=("network.host",) if host else (),  # asking is enough for the classic builder
        hosts=tuple(line for text in call.query.get("extrahosts", []) for line in text.split(",") if line),
        shm_bytes=query.number(call, "shmsize") or None,
        memory_bytes=query.number(call, "memory") or None,
        cgroup_parent=query.text(call, "cgroupparent"),
        ulimits=tuple(f"{one['Name']}={one['Soft']}:{one['Hard']}" for one in _list(call, "ulimits")),
        no_cache=query.flag(call, "nocache"),
        pull=query.flag(call, "pull"),
        cache_from=tuple(_list(call, "cachefrom")),
        stdin=call.upload,
    )


def _parsed(call: ApiCall, name: str) -> Any:
    text = query.text(call, name)
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError) as exc:
        raise ApiError(400, f"{name}: invalid JSON: {exc}") from exc


def _pairs(call: ApiCall, name: str) -> dict[str, str | None]:
    found = _parsed(call, name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ApiError(400, f"{name}: not an object")
    return found


def _list(call: ApiCall, name: str) -> list[Any]:
    found = _parsed(call, name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise ApiError(400, f"{name}: not a list")
    return found


class Steps:
    """Tells of a build's steps as the classic builder does: one after the other, though several are made at a time."""

    def __init__(self, say: Callable[[Json], None]) -> None:
        self.say = say
        self._lock = threading.Lock()
        # What isn't told yet of the steps that have begun, the one that is being told first.
        self._waiting: dict[int, list[str]] = {}
        self._ended: set[int] = set()

    def take(self, event: BuildEvent) -> None:
        """Tell of an event now, or when the steps before it have ended; called by the threads of a build."""
        with self._lock:
            if event.kind == WARNING:
                self.say({"stream": f"[Warning] {event.data}\n"})
            elif not event.is_preparation and (title := _TITLE.fullmatch(event.title)):
                self._note(event, title)
                self._drain()

    def _note(self, event: BuildEvent, title: re.Match[str]) -> None:
        stage = f"{title['stage']} " if title["stage"] else ""
        begun = [f"Step {stage}{title['step']} : {title['text']}\n"]
        waiting = self._waiting.setdefault(event.step, begun)
        if event.kind == OUTPUT:
            waiting.append(event.data)
        elif event.kind == CACHED:
            waiting.append(" ---> Using cache\n")
        if event.kind not in (STARTED, OUTPUT, NOTE):
            self._ended.add(event.step)

    def _drain(self) -> None:
        while self._waiting:
            step = next(iter(self._waiting))
            self._tell(step)
            if step not in self._ended:
                return
            self._ended.discard(step)
            del self._waiting[step]

    def _tell(self, step: int) -> None:
        for text in self._waiting[step]:
            self.say({"stream": text})
        self._waiting[step] = []

    def finish(self) -> None:
        """Tell what is left."""
        with self._lock:
            for step in self._waiting:
                self._tell(step)


def prune(call: ApiCall) -> ApiAnswer:
    """POST /build/prune."""
    found = query.sparing(call, "until", "unused-for", "label")
    labels, _ = query.label_filters(found)
    if labels:  # which nothing of the cache has
        return answer({"CachesDeleted": None, "SpaceReclaimed": 0})
    gone = builds.prune_cache(
        call.context,
        everything=query.flag(call, "all"),
        filters=[entry for entry in found if not entry.startswith("label!=")],
        keep_bytes=query.number(call, "keep-storage") or None,
    )
    names = [*gone.records, *gone.folders]
    return answer({"CachesDeleted": names or None, "SpaceReclaimed": gone.size_bytes})
