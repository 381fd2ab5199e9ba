"""Which image each service gets: the pull policies, each distinct image once.

Pulling and loading happen in the calling process, which has the user's credentials, proxy and terminal; the
store takes several writers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.errors import ImageError, NoSuchImage, PycomposeError
from pycompose.engine.images.store import Image, ImageStore
from pycompose.errors import ConfigError
from pycompose.model import MOUNT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.app import Context
    from pycompose.model import Project, Service
    from pycompose.options import ImageOptions



@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One distinct image and who wants it.

    `policy` is the strictest of theirs, `platform` "" is this machine.
    """

    reference: str
    platform: str
    policy: str
    users: tuple[str, ...]


def image_reference(project: Project, service: Service) -> str:
    """Return the image of a service: as written, or the name that `build` gives it."""
    return service.image or f"{project.name}-{service.name}"


def needs(project: Project, services: Iterable[str], options: ImageOptions) -> list[Need]:
    """Return the distinct images that the services and their image mounts need."""
    found: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for name in services:
        service = project.services[name]
        if service.provider is not None:
            continue
        policy = options.pull or service.pull_policy or "missing"
        wanted = [(image_reference(project, service), service.platform, name)]
        wanted += [
            (v.source, service.platform, MOUNT_PREFIX + v.source)
            for v in service.volumes
            if v.kind == "image"
        ]
        for reference, platform, user in wanted:
            users, policies = found.setdefault((reference, platform), ([], []))
            users.append(user)
            policies.append(policy)
    return [
        Need(reference=reference, platform=platform, policy=strictest(policies), users=tuple(users))
        for (reference, platform), (users, policies) in found.items()
    ]


def strictest(policies: Iterable[str]) -> str:
    """Return the policy that serves all: one that pulls beats one that doesn't."""
    order = {"always": 0, "refresh": 1, "build": 3, "missing": 3, "if_not_present": 3, "never": 4}
    return min(policies, key=lambda policy: order.get(policy, 2))


def ensure_images(
    context: Context, project: Project, services: Iterable[str], options: ImageOptions
) -> dict[str, Image]:
    """Return the image of each service, and of each image mount under "image:REFERENCE".

    Raises NoSuchImage, InvalidReference, ImageError, PullError with the services that want the image.
    """
    store = ImageStore(context.paths)
    base = Path(project.directory)
    images: dict[str, Image] = {}
    for need in needs(project, services, options):
        try:
            image = store.resolve(need.reference, platform=need.platform, base_dir=base)
        except NoSuchImage as exc:
            raise explain(exc, project, need) from exc
        images.update(dict.fromkeys(need.users, image))
    return images


def explain(error: ImageError, project: Project, need: Need) -> PycomposeError:
    """Return `error` with the services in front, and what they can do."""
    names = [user for user in need.users if not user.startswith(MOUNT_PREFIX)]
    hint = error.hint
    for name in names:
        service = project.services[name]
        if service.build is not None and not service.image:
            return ConfigError(
                f"service {name}: building images is not possible yet", hint="give it an `image:`"
            )
    prefix = f"service {', '.join(names)}: " if names else ""
    return type(error)(f"{prefix}{error.message}", hint=hint)
