"""The container of a service: what it runs, with which variables, ports and resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.kube.probes import probes
from pycompose.kube.scope import KubeScope, Object, place
from pycompose.kube.security import container_security
from pycompose.kube.values import cpu, literal, memory

if TYPE_CHECKING:
    from pycompose.model import Hook, Service

# Words of a name: between what is no letter or digit (`DB_PASS`), the long ones also behind others (`PGPASSWORD`),
# and as `ConnectionStrings:DbPassword` has them.
_SECRET = re.compile(
    r"((^|[^a-z0-9])(PASS|TOKEN|KEY)|PASSWORD|PASSWD|PASSPHRASE|_PWD|SECRET|APIKEY|CREDENTIALS?)([^a-z0-9]|$)",
    re.IGNORECASE,
)
_SECRET_AS_CAMEL = re.compile(r"[a-z0-9](Password|Passphrase|Pwd|Secret|Token|ApiKey|Credentials?)(?![a-z])")
# What names a secret, and isn't one.
_NAMED = re.compile(r"(_FILE|_PATH|_NAME|_ID|_URL|_DIR)$", re.IGNORECASE)
# A URL with a password, a connection string, a key.
_SECRET_VALUE = re.compile(
    r"://[^/@\s:]*:[^/@\s]+@|\b(password|passwd|pwd)[\"']?\s*[=:]\s*[^;&\s]|-----BEGIN [A-Z ]*PRIVATE KEY-----",
    re.IGNORECASE,
)
# What an API server takes from Kubernetes 1.32 on, and before: its validation of EnvVar.
_VARIABLE = re.compile(r"[ -<>-~]+")
_STRICT_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_PULL = {
    "always": "Always",
    "never": "Never",
    "missing": "IfNotPresent",
    "if_not_present": "IfNotPresent",
    "build": "IfNotPresent",
}
_KEY = re.compile(r"[^-._a-zA-Z0-9]")


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port of the container; protocol "TCP", "UDP" or "SCTP"."""

    number: int
    protocol: str = "TCP"

    @property
    def name(self) -> str:
        """Its name, unique in its pod and its Service: "tcp-80"."""
        return f"{self.protocol.lower()}-{self.number}"


def is_secret(name: str, value: str) -> bool:
    """Tell whether an environment variable looks like one that nobody else should read."""
    if not value:
        return False
    named = _SECRET.search(name) or _SECRET_AS_CAMEL.search(name)
    return bool((named and not _NAMED.search(name)) or _SECRET_VALUE.search(value))


def container_ports(scope: KubeScope, service: Service) -> list[ContainerPort]:
    """Return the ports that are known of a container: published, exposed, and the image's, in this order."""
    found = [ContainerPort(port.target, port.protocol.upper()) for port in service.ports]
    facts = scope.image(service)
    for text in (*service.expose, *(facts.config.exposed_ports if facts else ())):
        numbers, _, protocol = text.partition("/")
        first, _, last = numbers.partition("-")
        found += [
            ContainerPort(number, (protocol or "tcp").upper())
            for number in range(int(first), int(last or first) + 1)
        ]
    return list(dict.fromkeys(found))


def container(scope: KubeScope, service: Service, secrets: dict[str, str]) -> Object:
    """Return the container but its mounts; values for the Secret of its environment are put into `secrets`."""
    name = scope.names[service.name]
    found: Object = {"name": name, "image": image_of(scope, service)}
    if service.entrypoint is not None:
        found["command"] = [literal(word) for word in service.entrypoint]
    if service.command is not None:
        found["args"] = [literal(word) for word in service.command]
    if service.working_dir:
        found["workingDir"] = service.working_dir
    if service.stdin_open:
        found["stdin"] = True
    if service.tty:
        found["tty"] = True
    if policy := _pull_policy(scope, service):
        found["imagePullPolicy"] = policy
    if variables := environment(scope, service, secrets):
        found["env"] = variables
    if ports := container_ports(scope, service):
        found["ports"] = [{"name": p.name, "containerPort": p.number, "protocol": p.protocol} for p in ports]
    if resources := _resources(scope, service):
        found["resources"] = resources
    if security := container_security(scope, service):
        found["securityContext"] = security
    found |= probes(scope, service)
    if hooks := _lifecycle(scope, service):
        found["lifecycle"] = hooks
    return found


def image_of(scope: KubeScope, service: Service) -> str:
    """Return the image's name; a service that is only built has none that a cluster could pull."""
    image = scope.options.images.get(service.name) or service.image
    if image.partition(":")[0] == "host" or image.startswith(("./", "/")):
        scope.remarks.error(
            place(service, "image"), f"{image} is this machine's own: a cluster pulls images by name"
        )
    elif not image:
        scope.remarks.error(
            place(service, "build" if service.build else "image"),
            "a cluster pulls images by name: give it image: REGISTRY/NAME and push it, "
            "or use kube apply --push REGISTRY",
        )
    return image or f"{scope.project.name}-{service.name}"


def environment(scope: KubeScope, service: Service, secrets: dict[str, str]) -> list[Object]:
    """Return `env`, in the order of the file; what looks like a secret is read from the service's Secret."""
    found: list[Object] = []
    for variable, value in service.environment.items():
        path = place(service, "environment", variable)
        if not _STRICT_VARIABLE.fullmatch(variable):
            if not _VARIABLE.fullmatch(variable):
                scope.remarks.warning(path, "is no name for a variable there: left out")
                continue
            scope.remarks.note(path, "clusters take such names from Kubernetes 1.32 on")
        if value is None:
            scope.remarks.warning(path, "has no value in this environment: left out")
        else:
            found.append(env_entry(scope, service, variable, value, secrets))
    return found


def env_entry(
    scope: KubeScope, service: Service, variable: str, value: str, secrets: dict[str, str], prefix: str = ""
) -> Object:
    """Return one entry of `env`; a secret one's value is put into `secrets`, under `prefix` and its name."""
    if not is_secret(variable, value):
        return {"name": variable, "value": literal(value)}
    key = f"{prefix}{_KEY.sub('_', variable)}"
    secrets[key] = value
    reference = {"secretKeyRef": {"name": f"{scope.names[service.name]}-env", "key": key}}
    return {"name": variable, "valueFrom": reference}


def _pull_policy(scope: KubeScope, service: Service) -> str:
    if not service.pull_policy:
        return ""
    policy = _PULL.get(service.pull_policy, "")
    if not policy:
        scope.remarks.note(place(service, "pull_policy"), f"{service.pull_policy} is IfNotPresent there")
    return policy or "IfNotPresent"


def _resources(scope: KubeScope, service: Service) -> Object:
    limits: Object = {}
    requests: Object = {}
    given = service.limits
    processors = given.cpus
    if processors is None and given.cpu_quota_us and given.cpu_quota_us > 0:
        processors = given.cpu_quota_us / (given.cpu_period_us or 100_000)
    if processors:
        limits["cpu"] = cpu(processors)
    if given.memory_bytes:
        limits["memory"] = memory(given.memory_bytes)
    reserved = ((scope.node(service).get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    if reserved.get("cpus"):
        requests["cpu"] = cpu(float(reserved["cpus"]))
    if given.memory_reservation_bytes:
        requests["memory"] = memory(given.memory_reservation_bytes)
    asked = (float(reserved.get("cpus") or 0), given.memory_reservation_bytes or 0)
    for what, due, limit in zip(("cpus", "memory"), asked, (processors, given.memory_bytes), strict=True):
        if limit and due > limit:
            text = f"more of {what} is reserved than the limit allows, which no cluster takes"
            scope.remarks.error(_reservation(service, scope, what), text)
    for request in service.device_requests:
        if "gpu" in request.capabilities:
            count = len(request.device_ids) or max(1, request.count)
            limits[f"{request.driver or 'nvidia'}.com/gpu"] = str(count)
            if request.device_ids or request.count == -1:
                text = f"a cluster counts GPUs: {count} of them, whichever they are"
                scope.remarks.warning(_devices(service, scope), text)
        else:
            what = ", ".join((*request.capabilities, *request.device_ids)) or request.driver
            scope.remarks.warning(
                _devices(service, scope), f"{what} is left out: a device plugin has to offer it"
            )
    return {key: value for key, value in (("limits", limits), ("requests", requests)) if value}


def _reservation(service: Service, scope: KubeScope, what: str) -> tuple[str | int, ...]:
    node = scope.node(service)
    if what == "memory" and "mem_reservation" in node:
        return place(service, "mem_reservation")
    return place(service, "deploy", "resources", "reservations", what)


def _devices(service: Service, scope: KubeScope) -> tuple[str | int, ...]:
    if "gpus" in scope.node(service):
        return place(service, "gpus")
    if "deploy" in scope.node(service) and not service.devices:
        return place(service, "deploy", "resources", "reservations", "devices")
    return place(service, "devices")


def _lifecycle(scope: KubeScope, service: Service) -> Object:
    """Return the hooks: one command each, which runs as the container does."""
    found: Object = {}
    kinds: tuple[tuple[str, str, tuple[Hook, ...]], ...] = (
        ("post_start", "postStart", service.post_start),
        ("pre_stop", "preStop", service.pre_stop),
    )
    for key, word, hooks in kinds:
        if not hooks:
            continue
        if len(hooks) > 1:
            scope.remarks.warning(
                place(service, key, 1), "there is one command of a kind there: the others are left out"
            )
        hook = hooks[0]
        lost = [name for name in ("user", "privileged", "working_dir", "environment") if getattr(hook, name)]
        if lost:
            scope.remarks.warning(
                place(service, key, 0), f"runs as the container does there: {', '.join(lost)} without effect"
            )
        found[word] = {"exec": {"command": list(hook.command)}}
    return found
