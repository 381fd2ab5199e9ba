"""A service as a workload: Deployment, StatefulSet, DaemonSet or Job, and its pod."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycompose.kube import containers, network, placement, security
from pycompose.kube.files import secret_object
from pycompose.kube.mounts import Mounts, mounts_of
from pycompose.kube.names import label
from pycompose.kube.scope import KubeScope, Object, place
from pycompose.kube.values import digest, literal, seconds
from pycompose.model import Condition

if TYPE_CHECKING:
    from pycompose.kube.files import Contents
    from pycompose.model import Project, Service

STAMP = "pycompose/files"
_QUALIFIED = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_HOSTNAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def job_services(project: Project, kinds: dict[str, str], modes: dict[str, str]) -> frozenset[str]:
    """Return the services that run to an end: told so, or somebody waits for it."""
    awaited = {
        dependency.service
        for service in project.services.values()
        for dependency in service.depends_on
        if dependency.condition is Condition.COMPLETED
    }
    return frozenset(
        name
        for name in project.services
        if kinds.get(name) == "Job"
        or (not kinds.get(name) and (name in awaited or modes.get(name, "").endswith("-job")))
    )


def workload(scope: KubeScope, service: Service, contents: Contents) -> list[Object]:
    """Return the workload of a service and the ConfigMaps and Secrets that belong to it alone, those first."""
    name = scope.names[service.name]
    secrets: dict[str, str] = {}
    mounts = mounts_of(scope, service, contents)
    pod = _pod(scope, service, mounts, secrets)
    found = list(mounts.objects)
    if secrets:
        values = {key: value.encode(errors="surrogateescape") for key, value in secrets.items()}
        found.append(secret_object(scope.metadata(f"{name}-env", name), values))
    template = {"metadata": _pod_metadata(scope, service, mounts, secrets), "spec": pod}
    return [*found, _workload(scope, service, template, claims=bool(mounts.claims))]


def kind_of(scope: KubeScope, service: Service) -> str:
    """Return the kind of a service's workload."""
    mode = (scope.node(service).get("deploy") or {}).get("mode") or ""
    chosen = scope.of(service).kind
    if service.name in scope.jobs:
        if mode == "global-job":
            scope.remarks.warning(place(service, "deploy", "mode"), "a Job runs once, not once on each node")
        return "Job"
    return chosen or ("DaemonSet" if mode == "global" else "Deployment")


def _workload(scope: KubeScope, service: Service, template: Object, *, claims: bool) -> Object:
    name = scope.names[service.name]
    kind = kind_of(scope, service)
    spec: Object = {}
    if kind == "Job":
        return _job(scope, service, template)
    if kind != "DaemonSet":
        spec["replicas"] = service.replicas
    elif service.replicas > 1:
        scope.remarks.note(place(service, "deploy"), "a DaemonSet has one pod on each node")
    spec["selector"] = {"matchLabels": scope.selector(name)}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    spec |= placement.strategy(scope, service, kind, claims=claims)
    spec["template"] = template
    if service.restart.kind != "always" and _asked(scope, service):
        scope.remarks.note(
            _restart(scope, service),
            f"a {kind} always restarts; what ends is a task: deploy: {{mode: replicated-job}}",
        )
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": scope.metadata(name, name), "spec": spec}


def _asked(scope: KubeScope, service: Service) -> bool:
    """Tell whether a policy was given that a cluster doesn't follow (`unless-stopped` is near enough)."""
    node = scope.node(service)
    given = "restart" in node or "restart_policy" in (node.get("deploy") or {})
    return given and service.restart.kind != "unless-stopped"


def _restart(scope: KubeScope, service: Service) -> tuple[str | int, ...]:
    return place(
        service, *(("restart",) if "restart" in scope.node(service) else ("deploy", "restart_policy"))
    )


def _job(scope: KubeScope, service: Service, template: Object) -> Object:
    """Return a Job, whose template can't be changed: one that differs has another name."""
    again = service.restart.kind != "no"
    template["spec"]["restartPolicy"] = "OnFailure" if again else "Never"
    attempts = service.restart.max_attempts
    spec: Object = {"backoffLimit": (6 if attempts is None else attempts) if again else 0}
    if service.replicas != 1:
        spec |= {"completions": service.replicas, "parallelism": service.replicas}
    spec["template"] = template
    name = scope.names[service.name]
    metadata = scope.metadata(f"{name}-{digest([spec, scope.options.namespace])}", name)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _pod_metadata(scope: KubeScope, service: Service, mounts: Mounts, secrets: dict[str, str]) -> Object:
    name = scope.names[service.name]
    labels = {
        **scope.labels(name),
        **{network.network_label(endpoint.network): "true" for endpoint in service.networks},
    }
    annotations: dict[str, str] = {}
    for key, group in (("labels", service.labels), ("annotations", service.annotations)):
        for word, value in group.items():
            if _QUALIFIED.fullmatch(word):
                annotations[word] = value
            else:
                scope.remarks.warning(
                    place(service, key, word), "is no name for an annotation there: left out"
                )
    stamps = [stamp for stamp in mounts.stamps if stamp]
    if stamps or secrets:
        # What is mounted by subPath, and variables, never change in a running pod: other content makes other pods.
        annotations[STAMP] = digest([stamps, secrets], 16)
    return {"labels": labels, **({"annotations": annotations} if annotations else {})}


def _pod(scope: KubeScope, service: Service, mounts: Mounts, secrets: dict[str, str]) -> Object:
    """Return the pod's spec. What clusters add by themselves, and Compose doesn't, is switched off."""
    main = containers.container(scope, service, secrets)
    if mounts.mounts:
        main["volumeMounts"] = mounts.mounts
    pod: Object = {"enableServiceLinks": False, "automountServiceAccountToken": False}
    if context := security.pod_security(scope, service, shares=bool(mounts.claims) or mounts.private):
        pod["securityContext"] = context
    pod |= _network_of_pod(scope, service)
    for key, field in (("pid", "hostPID"), ("ipc", "hostIPC")):
        if getattr(service, key) == "host":
            pod[field] = True
    if selector := placement.node_selector(scope, service):
        pod["nodeSelector"] = selector
    if service.stop_grace_s is not None:
        pod["terminationGracePeriodSeconds"] = seconds(service.stop_grace_s, 0)
    first = [*_waits(scope, service), *_init_containers(scope, service, main, secrets)]
    if first:
        pod["initContainers"] = first
    pod["containers"] = [main]
    if mounts.volumes:
        pod["volumes"] = mounts.volumes
    return pod


def _network_of_pod(scope: KubeScope, service: Service) -> Object:
    found: Object = {}
    if service.hostname:
        if _HOSTNAME.fullmatch(service.hostname):
            found["hostname"] = service.hostname
        else:
            scope.remarks.warning(
                place(service, "hostname"), f"{service.hostname} is no name for a pod: left out"
            )
    if service.network_mode == "host":
        found |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    dns = {
        "nameservers": list(service.dns[:3]),
        "searches": list(service.dns_search),
        "options": [_dns_option(text) for text in service.dns_opt],
    }
    if given := {key: value for key, value in dns.items() if value}:
        found["dnsConfig"] = given
    if len(service.dns) > 3:
        scope.remarks.warning(place(service, "dns", 3), "pods take three servers: the others are left out")
    hosts: dict[str, list[str]] = {}
    for name, address in service.extra_hosts:
        if address == "host-gateway":
            scope.remarks.error(
                place(service, "extra_hosts"), f"{name}: a pod knows no address of its node's services"
            )
        else:
            hosts.setdefault(address, []).append(name)
    if hosts:
        found["hostAliases"] = [{"ip": address, "hostnames": names} for address, names in hosts.items()]
    return found


def _dns_option(text: str) -> dict[str, str]:
    name, _, value = text.partition(":")
    return {"name": name, **({"value": value} if value else {})}


def _waits(scope: KubeScope, service: Service) -> list[Object]:
    """Return the init containers that wait for healthy services: a Service's port leads to ready pods only."""
    found: list[Object] = []
    for dependency in service.depends_on:
        other = scope.project.services.get(dependency.service)
        path = place(service, "depends_on", dependency.service)
        if other is None or dependency.condition is Condition.STARTED:
            continue
        name = scope.names[other.name]
        if dependency.condition is Condition.COMPLETED:
            scope.remarks.note(
                path, f"pycompose kube apply waits for the Job of {other.name}; kubectl apply doesn't"
            )
            continue
        declared = (p.number for p in containers.container_ports(scope, other) if p.protocol == "TCP")
        port = next(declared, next(iter(scope.called.get(other.name, ())), None))
        if port is None:
            text = f"nothing waits for it: {other.name} has no TCP port that is known (expose:)"
            scope.remarks.warning(path, text)
            continue
        # Not every busybox is built with -z; without it the connection is closed by the end of the input.
        to = f"-w 2 {name} {port}"
        script = f"until nc -z {to} 2>/dev/null || nc {to} </dev/null >/dev/null 2>&1; do sleep 1; done"
        found.append(
            {
                "name": label(f"wait-{name}"),
                "image": scope.settings.project.wait_image,
                "command": ["sh", "-c", script],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        )
    return found


def _init_containers(
    scope: KubeScope, service: Service, main: Object, secrets: dict[str, str]
) -> list[Object]:
    """Return the `pre_start` hooks: they run before the container, one after the other, with its mounts."""
    found: list[Object] = []
    inherited = (
        "image",
        "command",
        "args",
        "workingDir",
        "env",
        "securityContext",
        "volumeMounts",
        "resources",
    )
    for index, hook in enumerate(service.pre_start):
        one: Object = {"name": f"pre-start-{index}", **{key: main[key] for key in inherited if key in main}}
        if hook.image:
            one["image"] = hook.image
            one.pop("command", None)
            one.pop("args", None)
        if hook.command:
            one["args"] = [literal(word) for word in hook.command]
        if hook.working_dir:
            one["workingDir"] = hook.working_dir
        own = {key: value for key, _, value in (text.partition("=") for text in hook.environment)}
        if own:
            others = [item for item in main.get("env", ()) if item["name"] not in own]
            mine = [
                containers.env_entry(scope, service, key, value, secrets, f"{one['name']}.")
                for key, value in own.items()
            ]
            one["env"] = [*others, *mine]
        if hook.user or hook.privileged:
            user = security.user_of(scope, service, hook.user, place(service, "pre_start", index, "user"))
            context = {**one.get("securityContext", {}), **user}
            one["securityContext"] = {**context, "privileged": True} if hook.privileged else context
        if service.replicas > 1 and not hook.per_replica:
            scope.remarks.warning(place(service, "pre_start", index), "runs in each pod there, not once")
        found.append(one)
    return found
