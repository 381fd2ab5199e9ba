"""Bringing a project to a cluster, and keeping it as the compose file says: order, waits, and what is to go."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass
from pycompose.kube.convert import object_id
from pycompose.kube.documents import to_yaml
from pycompose.kube.kubectl import Kubectl, KubectlError, job_state
from pycompose.kube.names import label
from pycompose.kube.scope import MANAGED_BY, MANAGER, PART_OF

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.kube.convert import Conversion
    from pycompose.kube.scope import Object

# What is removed when it is no longer generated: never claims, which hold data.
OWNED = (
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "services",
    "configmaps",
    "secrets",
    "ingresses.networking.k8s.io",
    "networkpolicies.networking.k8s.io",
)
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
CLAIMS, CLAIM = "persistentvolumeclaims", "PersistentVolumeClaim"
POLL_S = 0.5
LAST_LINES = 30
_WITH_OUTPUT = "; the end of its output:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How to apply. `wait` until all is ready; `timeout_s` bounds each wait."""

    wait: bool = False
    dry_run: bool = False
    timeout_s: int = 300


def apply(kubectl: Kubectl, project: str, conversion: Conversion, wanted: Wanted, tell: IO[str]) -> None:
    """Apply all parts in order, Jobs to their end before those that wait for them; then prune what is gone here.

    A Job that has failed before is made again. Raises KubectlError with kubectl's words, with what is another
    project's, or with the end of the output of a Job that failed.
    """
    present = kubectl.get((*OWNED, CLAIMS), f"{MANAGED_BY}={MANAGER}")
    _refuse_taken(project, conversion.objects, present)
    own = [item for item in present if _project_of(item) == label(project)]
    if not wanted.dry_run:
        _forget_failed(kubectl, conversion.objects, own, tell)
    jobs = {
        part.service: name
        for part in conversion.parts
        for kind, name in map(object_id, part.objects)
        if kind == "Job" and part.service
    }
    done: set[str] = set()
    waiting: list[Object] = []

    def send() -> None:
        if waiting:
            kubectl.apply(to_yaml(waiting), dry_run=wanted.dry_run, tell=tell)
            waiting.clear()

    for part in conversion.parts:
        needed = [jobs[name] for name in part.after if name in jobs and jobs[name] not in done]
        if needed and not wanted.dry_run:
            send()
            for name in needed:
                _finish(kubectl, name, wanted, tell)
        done.update(needed)
        waiting += part.objects
    send()
    prune(kubectl, own, conversion.objects, wanted, tell)
    if wanted.wait and not wanted.dry_run:
        for item in conversion.objects:
            kind, name = object_id(item)
            if kind in WORKLOADS:
                tell.flush()
                kubectl.rollout(f"{kind.lower()}/{name}", wanted.timeout_s)
            elif kind == "Job" and name not in done:
                _finish(kubectl, name, wanted, tell)


def _project_of(item: dict[str, Any]) -> str:
    return str(item["metadata"].get("labels", {}).get(PART_OF, ""))


def _refuse_taken(project: str, objects: Iterable[Object], present: Iterable[dict[str, Any]]) -> None:
    """Refuse to take over what another project has applied under a name of ours: its data would be ours to delete."""
    wanted = {object_id(item) for item in objects}
    taken = [
        f"{item['kind']} {item['metadata']['name']} is project {_project_of(item)}'s"
        for item in present
        if object_id(item) in wanted and _project_of(item) != label(project)
    ]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise KubectlError(
            f"cannot apply: {taken[0]}{more}",
            hint="projects that have names in common need a namespace each: -n NAME",
        )


def _forget_failed(
    kubectl: Kubectl, objects: Iterable[Object], own: Iterable[dict[str, Any]], tell: IO[str]
) -> None:
    """Delete the Jobs that have failed and are to run: a Job of the same content would be the same, and failed."""
    wanted = {object_id(item) for item in objects}
    failed = [
        f"job/{item['metadata']['name']}"
        for item in own
        if item["kind"] == "Job" and object_id(item) in wanted and job_state(item) == "Failed"
    ]
    if failed:
        tell.write("".join(f"{name}: has failed before, runs again\n" for name in failed))
        tell.flush()
        kubectl.delete(failed)


def prune(
    kubectl: Kubectl,
    own: Iterable[dict[str, Any]],
    objects: Iterable[Object],
    wanted: Wanted,
    tell: IO[str],
) -> None:
    """Delete of the project's `own` objects those that are no longer generated; never a claim."""
    kept = {object_id(item) for item in objects}
    names = [
        f"{item['kind'].lower()}/{item['metadata']['name']}"
        for item in own
        if item["kind"] != CLAIM and object_id(item) not in kept and not _made_by_others(item)
    ]
    if names:
        tell.write(kubectl.delete(names, dry_run=wanted.dry_run))


def down(kubectl: Kubectl, project: str, tell: IO[str], *, volumes: bool, dry_run: bool = False) -> None:
    """Delete what `apply` made; with `volumes` also the claims, and so their data; with `dry_run` only tell."""
    kinds = (*OWNED, CLAIMS) if volumes else OWNED
    found = kubectl.get(kinds, selector(project))
    names = [
        f"{item['kind'].lower()}/{item['metadata']['name']}" for item in found if not _made_by_others(item)
    ]
    if names:
        tell.write(kubectl.delete(names, dry_run=dry_run))


def selector(project: str) -> str:
    """Return the label selector of a project's objects."""
    return f"{PART_OF}={label(project)},{MANAGED_BY}={MANAGER}"


def _made_by_others(item: dict[str, Any]) -> bool:
    """Tell whether a controller made an object (and removes it), such as the Jobs of a CronJob."""
    return bool(item["metadata"].get("ownerReferences"))


def _finish(kubectl: Kubectl, name: str, wanted: Wanted, tell: IO[str]) -> None:
    tell.write(f"job/{name}: waiting for its end\n")
    tell.flush()
    deadline = time.monotonic() + wanted.timeout_s
    while not (state := kubectl.job_state(name)):
        if time.monotonic() > deadline:
            raise KubectlError(
                f"job/{name}: hasn't ended within {wanted.timeout_s} s{_WITH_OUTPUT}",
                hint="--timeout gives it longer; what waits for it hasn't been applied",
                details=_output(kubectl, name),
            )
        time.sleep(POLL_S)
    if state == "Failed":
        raise KubectlError(
            f"job/{name}: has failed{_WITH_OUTPUT}",
            hint="what waits for it hasn't been applied; the next apply runs it again",
            details=_output(kubectl, name),
        )


def _output(kubectl: Kubectl, name: str) -> str:
    return kubectl.last_lines(f"job/{name}", LAST_LINES).rstrip() or "(none)"
