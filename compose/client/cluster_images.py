"""Images on their way to a cluster: what is known of those that are here, and those that are built here pushed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycompose.client.build import build_images
from pycompose.client.images import image_reference, layer_events
from pycompose.engine.config import User
from pycompose.engine.container.users import PASSWD, read_file, resolve_user
from pycompose.engine.errors import EngineError, ImageError
from pycompose.engine.images.reference import parse
from pycompose.engine.images.registry.push import push
from pycompose.engine.images.registry.settings import RegistrySettings
from pycompose.engine.images.store import ImageStore
from pycompose.events import Event, Phase
from pycompose.kube.scope import ImageFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycompose.client.context import Context
    from pycompose.engine.images.spec import Image
    from pycompose.engine.paths import StatePaths
    from pycompose.model import Project


def known_images(paths: StatePaths, project: Project) -> dict[str, ImageFacts]:
    """Return what is known of the services' images that are in the store; where it can't be read, nothing."""
    store = ImageStore(paths)
    found: dict[str, ImageFacts] = {}
    for service in project.services.values():
        try:
            image = store.resolve(image_reference(project, service), platform=service.platform)
        except (ImageError, OSError):
            continue
        found[service.name] = ImageFacts(config=image.config, ids=_ids_in(image))
    return found


def _ids_in(image: Image) -> Callable[[str], tuple[int, int] | None]:
    """Return what looks a user up in the passwd file of an image: its topmost one."""

    def find(spec: str) -> tuple[int, int] | None:
        for lower in (lower for tree in image.trees if tree.target == "/" for lower in tree.lowers):
            try:
                fd = os.open(lower, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                if read_file(fd, PASSWD):
                    ids = resolve_user(fd, User(spec=spec))
                    return ids.uid, ids.gid
            except EngineError:
                return None
            finally:
                os.close(fd)
        return None

    return find


def push_names(project: Project, registry: str) -> dict[str, str]:
    """Return, by service, where the images of those that have a `build:` are pushed to.

    They are REGISTRY/PROJECT-SERVICE, or the last part of what `image:` says, with its tag. Raises InvalidReference,
    and ImageError when two different images would be one.
    """
    found: dict[str, str] = {}
    owners: dict[str, tuple[str, str]] = {}
    for name, service in project.services.items():
        if service.build is not None:
            local = parse(image_reference(project, service))
            found[name] = f"{registry.rstrip('/')}/{local.path.rpartition('/')[2]}:{local.tag}"
            parse(found[name])
            other, image = owners.setdefault(found[name], (name, str(local)))
            if image != str(local):
                raise ImageError(
                    f"services {other} and {name}: {image} and {local} would both be {found[name]}",
                    hint="give them image: names that end differently",
                )
    return found


def push_built(context: Context, project: Project, targets: Mapping[str, str]) -> dict[str, str]:
    """Build the images of services, push them to `targets`, return them by service, with their digests.

    Raises what builds and pushes raise.
    """
    if not targets:
        return {}
    build_images(context, project, list(targets), quiet=False)
    store = ImageStore(context.paths)
    settings = RegistrySettings.load(context.environment)
    pushed: dict[str, str] = {}
    done: dict[str, str] = {}
    for name, target in targets.items():
        if target not in done:
            store.tag(image_reference(project, project.services[name]), target)
            subject = f"Image {target}"
            context.sink(Event(subject=subject, text="Pushing", phase=Phase.WORKING))
            digest = push(store, settings, parse(target), layer_events(context, subject))
            context.sink(Event(subject=subject, text="Pushed", phase=Phase.DONE))
            done[target] = f"{parse(target).name}@{digest}"
        pushed[name] = done[target]
    return pushed
