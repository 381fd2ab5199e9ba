"""How a project's workloads are, and why something doesn't run: the news of pods, as the cluster tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass
from pycompose.kube.apply import selector
from pycompose.kube.scope import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.kube.kubectl import Kubectl

KINDS = ("deployments.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch", "pods")
# What a container waits for that only needs time: whatever else is wrong says more.
_ON_ITS_WAY = frozenset({"PodInitializing", "ContainerCreating"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStatus:
    """One workload as `kube status` shows it; `reason` is why pods aren't ready, as the cluster says."""

    service: str
    kind: str
    ready: str
    restarts: int
    image: str
    reason: str


def status(kubectl: Kubectl, project: str) -> list[WorkloadStatus]:
    """Return the workloads of a project, each with the worst news of its pods."""
    items = kubectl.get(KINDS, selector(project))
    pods: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        if item["kind"] == "Pod":
            pods.setdefault(_service_of(item), []).append(item)
    rows = [_row(item, pods.get(_service_of(item), [])) for item in items if item["kind"] != "Pod"]
    return sorted(rows, key=lambda row: (row.service, row.kind))


def _service_of(item: dict[str, Any]) -> str:
    return str(item["metadata"].get("labels", {}).get(NAME, ""))


def _row(item: dict[str, Any], pods: Sequence[dict[str, Any]]) -> WorkloadStatus:
    state = item.get("status") or {}
    spec = item["spec"]
    if item["kind"] == "Job":
        wanted, ready = spec.get("completions", 1), state.get("succeeded", 0)
    elif item["kind"] == "DaemonSet":
        wanted, ready = state.get("desiredNumberScheduled", 0), state.get("numberReady", 0)
    else:
        wanted, ready = spec.get("replicas", 1), state.get("readyReplicas", 0)
    containers = [one for pod in pods for one in _containers(pod, "containerStatuses")]
    news = sorted(one for pod in pods for one in _news(pod))
    return WorkloadStatus(
        service=_service_of(item),
        kind=item["kind"],
        ready=f"{ready}/{wanted}",
        restarts=sum(one.get("restartCount", 0) for one in containers),
        image=spec["template"]["spec"]["containers"][0]["image"],
        reason=news[0][1] if news else "",
    )


def _containers(pod: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return list((pod.get("status") or {}).get(key) or ())


def _news(pod: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield why a pod isn't ready, each with how little it says (the fields are those of Pod v1, `status`)."""
    for condition in _containers(pod, "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield 0, _sentence(condition)
    first = _containers(pod, "initContainerStatuses")
    for one in (*first, *_containers(pod, "containerStatuses")):
        state = one.get("state") or {}
        ended = state.get("terminated") or {}
        if waiting := state.get("waiting"):
            last = (one.get("lastState") or {}).get("terminated") or {}
            was = f" (last: {_end(last)})" if last else ""
            yield 4 if waiting.get("reason") in _ON_ITS_WAY else 1, f"{_sentence(waiting)}{was}"
        elif ended.get("exitCode"):
            yield 2, _end(ended)
        elif "running" in state and one in first:
            yield 3, f"{one['name']} hasn't ended yet"
        elif "running" in state and not one.get("ready"):
            yield 3, "its health check hasn't passed"


def _sentence(state: dict[str, Any]) -> str:
    return ": ".join(word for word in (state.get("reason"), state.get("message")) if word)


def _end(state: dict[str, Any]) -> str:
    return f"{state.get('reason') or 'Error'}, exit code {state.get('exitCode')}"
