"""Which image each service gets: the pull policies, each distinct image once; and `pull` and `push`.

Pulling and loading happen in the calling process, which has the user's credentials, proxy and terminal; the
store takes several writers. What all images being there costs is in `ensure_images`: a look at the index and
one small file per layer.
"""

# ruff: noqa: PLC0415 - HTTP, TLS and threads are imported when something is pulled

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.client.selection import enabled
from pycompose.engine.config import RootfsTree
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ImageError, NoSuchImage, PullError, PycomposeError
from pycompose.engine.images.reference import Reference, ReferenceKind, parse
from pycompose.engine.images.spec import Image, Platform
from pycompose.engine.images.store import ImageStore
from pycompose.errors import ConfigError
from pycompose.events import STILL_IN_USE, Event, Phase
from pycompose.labels import PROJECT
from pycompose.model import Project
from pycompose.policy.graph import select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycompose.client.context import Context
    from pycompose.client.options import ImageOptions, PullOptions, PushOptions
    from pycompose.engine.images.registry.pull import Progress, Puller
    from pycompose.model import Service

MOUNT_PREFIX = "image:"
PARALLEL = 8
SHOWN = 3
_ORDER = ("always", "refresh", "every", "build", "missing", "if_not_present", "never")
_EVERY = re.compile(r"every_(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_EVERY_S = (604_800, 86_400, 3_600, 60, 1)
_NAMED_S = {"daily": 86_400.0, "weekly": 604_800.0}
_DONE_TEXTS = frozenset({"Already exists", "Pull complete", "Layer already exists", "Mounted", "Pushed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNeed:
    """One distinct image and who wants it.

    `policy` is the strictest of theirs, `platform` "" is this machine.
    """

    reference: str
    platform: str
    policy: str
    users: tuple[str, ...]

    @property
    def services(self) -> tuple[str, ...]:
        """The services among the users; the rest are mounts."""
        return tuple(user for user in self.users if not user.startswith(MOUNT_PREFIX))


def image_reference(project: Project, service: Service) -> str:
    """Return the image of a service: as written, or the name that `build` gives it."""
    return service.image or project.joined(service.name)


def needs(project: Project, services: Iterable[str], policy: str = "") -> list[ImageNeed]:
    """Return the distinct images that the services and their image mounts need; `policy` overrides theirs."""
    found: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for name in services:
        service = project.services[name]
        if service.provider is not None:
            continue
        wanted = [(image_reference(project, service), name)]
        wanted += [(hook.image, MOUNT_PREFIX + hook.image) for hook in service.pre_start if hook.image]
        wanted += [(v.source, MOUNT_PREFIX + v.source) for v in service.volumes if v.kind == "image"]
        for reference, user in wanted:
            users, policies = found.setdefault((reference, service.platform), ([], []))
            users.append(user)
            policies.append(policy or service.pull_policy or "missing")
    return [
        ImageNeed(
            reference=reference,
            platform=platform,
            policy=strictest(policies),
            users=tuple(dict.fromkeys(users)),
        )
        for (reference, platform), (users, policies) in found.items()
    ]


def strictest(policies: Iterable[str]) -> str:
    """Return the policy that serves all: one that pulls beats one that doesn't.

    A shorter interval a longer one.
    """

    def rank(policy: str) -> tuple[int, float]:
        interval_s = interval(policy)
        return _ORDER.index("every" if interval_s is not None else policy), interval_s or 0.0

    return min(policies, key=rank)


def interval(policy: str) -> float | None:
    """Return the seconds of `daily`, `weekly` or `every_2d12h`, None for the other policies.

    Raises ConfigError for a policy that doesn't exist.
    """
    if policy in _NAMED_S:
        return _NAMED_S[policy]
    match = _EVERY.fullmatch(policy)
    if match is not None and any(match.groups()):
        return float(
            sum(int(count or 0) * unit for count, unit in zip(match.groups(), _EVERY_S, strict=True))
        )
    if policy not in _ORDER or policy == "every":
        raise ConfigError(
            f"pull policy {policy!r}: unknown",
            hint="known: always, never, missing, build, daily, weekly, every_DURATION",
        )
    return None


def ensure_images(
    context: Context,
    project: Project,
    services: Iterable[str],
    options: ImageOptions,
    built: Mapping[str, Image],
) -> dict[str, Image]:
    """Return the image of each service, and of each image mount under "image:REFERENCE".

    `built` are images by reference that have just been made (client/build.py).

    What the policies ask for is pulled, in parallel. With `dry_run` nothing is, and a missing image is an
    empty one. Raises NoSuchImage, InvalidReference, ImageError, PullError, AuthError with the services that
    want the image.
    """
    fetching = _ImageFetcher(
        context, project, quiet=options.quiet_pull, dry_run=options.dry_run, parallel=options.parallel
    )
    images: dict[str, Image] = {}
    missing: list[ImageNeed] = []
    for need in needs(project, services, options.pull):
        image = built.get(need.reference) or fetching.local(need)
        if image is None:
            missing.append(need)
        else:
            images.update(dict.fromkeys(need.users, image))
    if missing:
        for need, image in zip(missing, fetching.fetch_all(missing), strict=True):
            images.update(dict.fromkeys(need.users, image))
    return images


def chosen_services(
    project: Project, names: Sequence[str], *, dependencies: bool
) -> tuple[Project, list[str]]:
    """Return the project with what profiles hide of `names` enabled, and the selection.

    Raises UnknownService.
    """
    project = enabled(project, names)
    return project, list(select(project.services, tuple(names), dependencies=dependencies))


def pull(context: Context, project: Project, options: PullOptions) -> None:
    """Pull the images of services.

    Raises what `ensure_images` raises; several failures as a group.
    """
    project, services = chosen_services(project, options.services, dependencies=options.include_deps)
    fetching = _ImageFetcher(
        context, project, quiet=options.quiet, dry_run=options.dry_run, parallel=options.parallel
    )
    wanted = []
    for need in needs(project, services, options.policy or "always"):
        builds = [name for name in need.services if project.services[name].build is not None]
        if builds and (options.ignore_buildable or not any(project.services[name].image for name in builds)):
            context.sink(Event(subject=f"Image {need.reference}", text="Skipped", phase=Phase.WARNING,
                               details="it is built"))  # fmt: skip
        elif fetching.local(need) is None:
            wanted.append(need)
        else:
            context.sink(Event(subject=f"Image {need.reference}", text="Skipped", phase=Phase.DONE,
                               details="it is there"))  # fmt: skip
    fetching.fetch_all(wanted, tolerant=options.ignore_pull_failures)


def push(context: Context, project: Project, options: PushOptions) -> None:
    """Push the images of services that are built here. Raises PullError, AuthError, NoSuchImage."""
    from pycompose.engine.images.registry.push import push as push_image
    from pycompose.engine.images.registry.settings import RegistrySettings

    project, services = chosen_services(project, options.services, dependencies=options.include_deps)
    settings = RegistrySettings.load(context.environment)
    store = ImageStore(context.paths)
    for need in needs(project, services):
        subject = f"Image {need.reference}"
        if not any(project.services[name].build is not None for name in need.services):
            context.sink(
                Event(subject=subject, text="Skipped", phase=Phase.DONE, details="it is not built here")
            )
            continue
        context.sink(Event(subject=subject, text="Pushing", phase=Phase.WORKING))
        if options.dry_run:
            context.sink(Event(subject=subject, text="Pushed", phase=Phase.DONE))
            continue
        try:
            push_image(
                store, settings, parse(need.reference), layer_events(context, subject, quiet=options.quiet)
            )
        except ImageError as exc:
            context.sink(Event(subject=subject, text="Error", phase=Phase.ERROR, details=exc.message))
            if not options.ignore_push_failures:
                raise
            continue
        context.sink(Event(subject=subject, text="Pushed", phase=Phase.DONE))


def layer_events(context: Context, subject: str, *, quiet: bool = False) -> Callable[[Progress], None]:
    """Return what turns the engine's progress into events below `subject`; with `quiet` into nothing."""

    def notify(progress: Progress) -> None:
        if quiet:
            return
        context.sink(
            Event(
                subject=progress.layer,
                parent=subject,
                text=progress.text,
                phase=Phase.DONE if progress.text in _DONE_TEXTS else Phase.WORKING,
                current=progress.current,
                total=progress.total,
            )
        )

    return notify


class _ImageFetcher:
    """Gets images for one command."""

    def __init__(
        self, context: Context, project: Project, *, quiet: bool, dry_run: bool, parallel: int | None
    ) -> None:
        self._parallel = parallel or PARALLEL
        self._context = context
        self._project = project
        self._quiet = quiet
        self._dry_run = dry_run
        self._store = ImageStore(context.paths)
        self._base = Path(project.directory or ".")

    def local(self, need: ImageNeed) -> Image | None:
        """Return the local image if the policy is content with it, None when it has to be fetched."""
        platform = need.platform or self._context.environment.get("DOCKER_DEFAULT_PLATFORM") or ""
        try:
            interval_s = interval(need.policy)
            image = self._store.resolve(need.reference, platform=platform, base_dir=self._base)
        except NoSuchImage as exc:
            if need.policy == "never" or not fetchable(need.reference):
                raise self._explain(exc, need) from exc
            return None
        except PycomposeError as exc:
            raise self._explain(exc, need) from exc
        if not _in_registry(need.reference) or need.policy in ("missing", "if_not_present", "never", "build"):
            return image
        if interval_s is None or time.time() - self._store.get(need.reference).stored_at > interval_s:
            return None
        return image

    def fetch_all(self, wanted: list[ImageNeed], *, tolerant: bool = False) -> list[Image]:
        """Load or pull images at the same time, return them in order.

        With `tolerant` failures are only told.
        """
        if not wanted:
            return []
        from concurrent.futures import ThreadPoolExecutor
        from contextlib import ExitStack

        with ExitStack() as stack:
            puller = (
                stack.enter_context(self._puller())
                if any(_in_registry(n.reference) for n in wanted)
                else None
            )
            threads = stack.enter_context(ThreadPoolExecutor(min(self._parallel, len(wanted)), "image"))
            futures = [threads.submit(self._fetch, need, puller) for need in wanted]
            try:
                failures = [exc for future in futures if (exc := future.exception()) is not None]
            except BaseException:
                if puller is not None:
                    puller.transport.abort()
                raise
        if failures and not tolerant:
            if len(failures) == 1:
                raise failures[0]
            raise BaseExceptionGroup("some images could not be pulled", failures)
        return [future.result() for future in futures if future.exception() is None]

    def _puller(self) -> Puller:
        from pycompose.engine.images.registry.pull import Puller
        from pycompose.engine.images.registry.settings import RegistrySettings

        return Puller(self._store, RegistrySettings.load(self._context.environment))

    def _fetch(self, need: ImageNeed, puller: Puller | None) -> Image:
        subject = f"Image {need.reference}"
        sink = self._context.sink
        text = ("Pulling", "Pulled") if _in_registry(need.reference) else ("Loading", "Loaded")
        sink(Event(subject=subject, text=text[0], phase=Phase.WORKING))
        try:
            image = self._get(need, puller, subject)
        except PycomposeError as exc:
            sink(Event(subject=subject, text="Error", phase=Phase.ERROR, details=exc.message))
            raise self._explain(exc, need) from exc
        sink(Event(subject=subject, text=text[1], phase=Phase.DONE))
        return image

    def _get(self, need: ImageNeed, puller: Puller | None, subject: str) -> Image:
        if self._dry_run:
            tree = RootfsTree(target="/", lowers=())
            return Image(reference=need.reference, id="sha256:" + "0" * 64, trees=(tree,))
        reference: Reference = parse(need.reference).anchored(self._base)
        text = need.platform or self._context.environment.get("DOCKER_DEFAULT_PLATFORM") or ""
        platform = Platform.parse(text) if text else None
        if puller is not None and reference.kind is ReferenceKind.REGISTRY:
            notify = layer_events(self._context, subject, quiet=self._quiet)
            return puller.pull(reference, notify, platform=platform)
        from pycompose.engine.images.archives.load import load_reference

        return load_reference(self._store, reference, platform=platform)

    def _explain(self, error: PycomposeError, need: ImageNeed) -> PycomposeError:
        """Return `error` with the services in front, and what they can do."""
        for name in need.services:
            service = self._project.services[name]
            if service.build is not None and not service.image:
                return ConfigError(
                    f"service {name}: image {need.reference}: no such image in the local store",
                    hint="build it: pycompose build",
                )
        hint = error.hint
        if need.policy == "never" and isinstance(error, NoSuchImage):
            hint = "its pull policy is never; " + (hint or "load it")
        if isinstance(error, PullError) and not hint:
            hint = "without a registry: pycompose image load, or `image: host`"
        shown = ", ".join(need.services[:SHOWN])
        if len(need.services) > SHOWN:
            shown += f" and {len(need.services) - SHOWN} more"
        prefix = f"service {shown}: " if need.services else ""
        return type(error)(f"{prefix}{error.message}", hint=hint)


def fetch_image(context: Context, reference: str, platform: str, *, quiet: bool) -> None:
    """Pull or load an image that a build starts from. Raises PullError, AuthError, ImageError."""
    if not fetchable(reference):
        return
    project = Project(name="build", directory=".", services={})
    fetching = _ImageFetcher(context, project, quiet=quiet, dry_run=False, parallel=None)
    need = ImageNeed(reference=reference, platform=platform, policy="always", users=())
    fetching.fetch_all([need])


def _kind(reference: str) -> ReferenceKind | None:
    try:
        return parse(reference).kind
    except ImageError:
        return None


def remove_images(
    context: Context, project: Project, services: Iterable[str], *, dry_run: bool, built_here: bool = False
) -> bool:
    """Take the names of the services' images away (`down --rmi all`); tell whether there was one.

    `built_here` (`--rmi local`) spares what the project hasn't built: an image says by its labels who has.
    One that a container of somebody else uses stays, and so do other names of the same image.
    """
    store = ImageStore(context.paths)
    references = {image_reference(project, project.services[name]) for name in services}
    found = False
    for reference in sorted(filter(_in_registry, references)):
        try:
            stored = store.get(reference)
        except ImageError:
            continue
        if built_here and stored.image.config.labels.get(PROJECT) != project.name:
            continue
        found, subject = True, f"Image {reference}"
        context.sink(Event(subject=subject, text="Removing", phase=Phase.WORKING))
        try:
            if not dry_run:
                store.remove(reference)
        except ImageError as exc:
            context.sink(Event(subject=subject, text=STILL_IN_USE, phase=Phase.WARNING, details=str(exc)))
        else:
            context.sink(Event(subject=subject, text="Removed", phase=Phase.DONE))
    return found


def _in_registry(reference: str) -> bool:
    return _kind(reference) is ReferenceKind.REGISTRY


def fetchable(reference: str) -> bool:
    """Tell whether an image can be brought here by its reference."""
    return _kind(reference) in (ReferenceKind.REGISTRY, ReferenceKind.OCI, ReferenceKind.DOCKER_ARCHIVE)
