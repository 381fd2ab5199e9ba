"""`watch --infer`: rules out of a Dockerfile, all stages that the target reaches.

What COPY brings to the image is synced to where it lies there. Files that are named one by one and that a RUN comes
after (a list of packages, mostly) are what that RUN reads: they lead to a build, as does what reaches the image only
by way of a RUN in another stage, and the Dockerfile itself.
"""

from __future__ import annotations

import contextlib
import glob
import os
import posixpath
import tarfile
from typing import TYPE_CHECKING

from pycompose.build.contexts import Contexts
from pycompose.build.requests import BuildFlags, service_request
from pycompose.engine.builder.bases import base_of
from pycompose.engine.builder.check import inputs_of
from pycompose.engine.builder.dockerfile import parse
from pycompose.engine.builder.evaluate import evaluate
from pycompose.engine.builder.globs import has_glob
from pycompose.engine.builder.instructions import checked
from pycompose.engine.builder.steps import BaseImage, Copy, Run
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import BuildError, ImageError
from pycompose.engine.images.store import ImageStore
from pycompose.model import WatchRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.engine.builder.dockerfile import Instruction
    from pycompose.engine.builder.steps import Evaluated, Step
    from pycompose.engine.paths import StatePaths
    from pycompose.model import Project, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A path of the context (absolute on this machine), and where it lies in a stage; `read` by a RUN: as a list is."""

    path: str
    target: str
    read: bool = False
    ignore: tuple[str, ...] = ()
    include: tuple[str, ...] = ()


def infer(
    paths: StatePaths, project: Project, service: Service, environment: Mapping[str, str]
) -> tuple[WatchRule, ...]:
    """Return the rules that a service's `build:` suggests. Raises BuildError, DockerfileError."""
    assert service.build is not None  # noqa: S101 - its caller has asked
    context = str(service.build.tree.get("context") or "")
    if not os.path.isabs(context):
        raise BuildError(
            f"service {service.name}: --infer: context {context}: there is nothing here to watch"
        )
    with Contexts(paths, environment) as contexts:
        request = service_request(project, service, BuildFlags(), environment, contexts)
    store = ImageStore(paths)

    def resolve(name: str, platform: str, _instruction: Instruction) -> BaseImage:
        with contextlib.suppress(ImageError):
            return base_of(store, name, platform=platform or request.platform).image
        return BaseImage()

    plan = checked(parse(request.dockerfile, request.dockerfile_name))
    done = evaluate(plan, request.target, inputs_of(request), resolve)
    found = _Stages(done, context)
    synced = found.of(done.target)
    rules: dict[tuple[str, str], WatchRule] = {}
    for item in synced:
        if not item.read:
            rules[item.path, item.target] = WatchRule(
                path=item.path, action="sync", target=item.target, ignore=item.ignore, include=item.include
            )
    reached = {item.path for item in synced if not item.read}
    rebuilt = [item.path for item in found.everything if item.path not in reached]
    if service.build.tree.get("dockerfile_inline") is None:
        rebuilt.append(os.path.normpath(os.path.join(context, service.build.dockerfile)))
    for path in dict.fromkeys(rebuilt):
        rules[path, ""] = WatchRule(path=path, action="rebuild")
    return tuple(rules.values())


class _Stages:
    """What the stages of one build have of its context."""

    def __init__(self, done: Evaluated, context: str) -> None:
        self._done, self._context = done, context
        self._known: dict[int, list[Brought]] = {}
        self.everything: dict[Brought, None] = {}

    def of(self, number: int) -> list[Brought]:
        """Return what lies in a stage as it lies in the context."""
        if number not in self._known:
            stage = self._done.stages[number]
            found = list(self.of(stage.base_stage)) if stage.base_stage is not None else []
            for index, step in enumerate(stage.steps):
                if isinstance(step.action, Copy):
                    found += self._copied(step.action, stage.steps[index + 1 :])
            self._known[number] = found
        return self._known[number]

    def _copied(self, action: Copy, later: tuple[Step, ...]) -> list[Brought]:
        if action.origin_stage is not None:
            return self._from_stage(action)
        if action.origin:
            return []  # an image, or another context
        sources = [path for source in action.sources for path in self._paths(source)]
        run_after = any(isinstance(step.action, Run) for step in later)
        read = run_after and not any(os.path.isdir(path) for path in sources)
        if not read and not action.parents and (together := self._glob(action)) is not None:
            self.everything[together] = None
            return [together]
        several = len(sources) > 1 or action.target.endswith("/")
        found = []
        for path in sources:
            target = action.target
            if action.parents:
                target = posixpath.join(target, os.path.relpath(path, self._context))
            elif not os.path.isdir(path) and several:
                target = posixpath.join(target, os.path.basename(path))
            # ADD unpacks archives: what lies there isn't the file.
            unpacked = (
                action.is_add
                and action.unpack is not False
                and os.path.isfile(path)
                and tarfile.is_tarfile(path)
            )
            target = posixpath.normpath(target)
            found.append(Brought(path=path, target=target, read=read or unpacked, ignore=action.exclude))
        self.everything.update(dict.fromkeys(found))
        return found

    def _glob(self, action: Copy) -> Brought | None:
        """Return a pattern as one item, which takes in files that come later, too; None for what isn't that simple."""
        if len(action.sources) != 1 or not has_glob(action.sources[0]):
            return None
        folder, name = posixpath.split(action.sources[0].strip("/"))
        paths = self._paths(action.sources[0])
        one = not action.target.endswith("/") and len(paths) < 2
        if has_glob(folder) or not paths or one or not all(map(os.path.isfile, paths)):
            return None
        path = os.path.normpath(os.path.join(self._context, folder))
        target = posixpath.normpath(action.target)
        return Brought(path=path, target=target, ignore=action.exclude, include=(name,))

    def _from_stage(self, action: Copy) -> list[Brought]:
        """Return what comes by way of another stage unchanged."""
        assert action.origin_stage is not None  # noqa: S101 - its caller has asked
        found = []
        for item in self.of(action.origin_stage):
            for source in action.sources:
                base = posixpath.normpath(posixpath.join("/", source))
                if item.target == base or item.target.startswith(f"{base.rstrip('/')}/"):
                    relative = posixpath.relpath(item.target, base)
                    target = posixpath.normpath(posixpath.join(action.target, relative))
                    if not os.path.isdir(item.path) and relative == "." and action.target.endswith("/"):
                        target = posixpath.join(action.target, posixpath.basename(item.target))
                    found.append(replace(item, target=target))
        return found

    def _paths(self, source: str) -> list[str]:
        """Return the paths that a source names; one that is missing is nobody's, a URL isn't either."""
        if "://" in source or source.startswith("git@"):
            return []
        path = os.path.normpath(os.path.join(self._context, source.lstrip("/")))
        return sorted(glob.glob(path)) if has_glob(source) else [path]


def as_yaml(project: Project, found: Mapping[str, tuple[WatchRule, ...]]) -> str:
    """Return rules as the text of a compose file, with paths from the project's directory."""
    lines = ["services:"]
    for service, rules in found.items():
        lines += [f"  {service}:", "    develop:", "      watch:"]
        for rule in rules:
            lines += [f"        - path: {_word(_from(project.directory, rule.path))}"]
            lines += [f"          action: {rule.action}"]
            lines += [f"          target: {_word(rule.target)}"] if rule.target else []
            lines += [f"          include: [{', '.join(map(_word, rule.include))}]"] if rule.include else []
            lines += [f"          ignore: [{', '.join(map(_word, rule.ignore))}]"] if rule.ignore else []
    return "\n".join(lines)


def _from(directory: str, path: str) -> str:
    relative = os.path.relpath(path, directory)
    return relative if relative == "." or relative.startswith("..") else posixpath.join(".", relative)


def _word(text: str) -> str:
    """Return a text for YAML: as it is where that is safe, else quoted."""
    if text and all(char.isalnum() or char in "./-_+@" for char in text):
        return text
    return "'" + text.replace("'", "''") + "'"
