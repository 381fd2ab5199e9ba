"""The images that services start from: built where they have a `build:` and must be, else local or pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.client.images import ensure_images, image_reference
from pycompose.engine.config import RootfsTree
from pycompose.engine.errors import NoSuchImage
from pycompose.engine.images.spec import Image
from pycompose.engine.images.store import ImageStore
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycompose.client.context import Context
    from pycompose.client.options import ImageOptions
    from pycompose.model import Project


def ready_images(
    context: Context, project: Project, services: Sequence[str], options: ImageOptions
) -> dict[str, Image]:
    """Return the image of each service, and of each image mount under "image:REFERENCE".

    Raises what a build and what `ensure_images` raise.
    """
    built = _built(context, project, services, options)
    return ensure_images(context, project, services, options, built)


def _built(
    context: Context, project: Project, services: Iterable[str], options: ImageOptions
) -> dict[str, Image]:
    """Build what has to be, return it by reference: what is asked for, and what has a `build:` and isn't there."""
    if options.no_build:
        return {}
    buildable = [name for name in services if project.services[name].build is not None]
    if not buildable:
        return {}
    store = ImageStore(context.paths)
    wanted = [name for name in buildable if options.build or _must_build(store, project, name, options.pull)]
    if not wanted:
        return {}
    if options.dry_run:
        for name in wanted:
            subject = f"Image {image_reference(project, project.services[name])}"
            context.sink(Event(subject=subject, text="Building", phase=Phase.WORKING))
            context.sink(Event(subject=subject, text="Built", phase=Phase.DONE))
        tree = RootfsTree(target="/", lowers=())
        return {
            image_reference(project, project.services[name]): Image(
                reference=image_reference(project, project.services[name]),
                id="sha256:" + "0" * 64,
                trees=(tree,),
            )
            for name in wanted
        }
    from pycompose.client.build import build_images  # noqa: PLC0415 - it brings the networking, 20 MB

    images = build_images(context, project, wanted, quiet=options.quiet_build, parallel=options.parallel)
    return {image_reference(project, project.services[name]): image for name, image in images.items()}


def _must_build(store: ImageStore, project: Project, name: str, policy: str) -> bool:
    """Tell whether a service's image is built without being asked for."""
    service = project.services[name]
    wanted = policy or service.pull_policy or "missing"
    if wanted == "build":
        return True
    if wanted in ("always", "never") and service.image:
        return False
    try:
        store.resolve(image_reference(project, service), platform=service.platform)
    except NoSuchImage:
        return True
    return False
