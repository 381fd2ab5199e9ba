"""Every attribute of the format, and what a cluster has for it: a table, so that none is forgotten.

What is mapped other modules of this room make objects of (they say what they lose themselves), SILENT is what has no
meaning on the way to a cluster; all others are said wherever they are written. docs/kubernetes.md is made of the table.
A row stands for all that is below it, unless that has a row of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.config.patterns import Trie, compile_table
from pycompose.config.tree import Map, Seq
from pycompose.engine.dataclass import dataclass

if TYPE_CHECKING:
    from pycompose.config.tree import Path
    from pycompose.kube.remarks import Remarks


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of an attribute: mapped, silent, note, warning or error, and what is said then."""

    kind: str
    text: str = ""


SILENT = Treatment("silent")


def _map(text: str) -> Treatment:
    return Treatment("mapped", text)


def _note(text: str) -> Treatment:
    return Treatment("note", text)


def _warn(text: str) -> Treatment:
    return Treatment("warning", text)


def _refuse(text: str) -> Treatment:
    return Treatment("error", text)


_LEFT = "is left out"
_NODES = "is left out: it is the nodes' to decide"
_ADDRESSES = "is left out: a cluster gives out the addresses"
_WINDOWS = "is left out: it is for Windows containers"
_SHARING = "cannot be: containers that share namespaces would have to be one pod"
_NO_LIMIT = "is left out: a cluster limits memory, processors and temporary storage"
_ROLLING = "is left out: a cluster goes on, or waits, when pods don't get ready"

ROWS: dict[str, Treatment] = {
    "name": _map("label `app.kubernetes.io/part-of` of all objects"),
    "version": SILENT,
    "include": SILENT,
    "models": _refuse("there is nothing that runs models in a cluster: make it a service"),
    "services.*": _map(
        "a Deployment, or a Job when somebody waits for its completion; a Service of the same name"
    ),
    "services.*.annotations": _map("the pod's annotations"),
    "services.*.attach": SILENT,
    "services.*.blkio_config": _warn(_NO_LIMIT),
    "services.*.build": _map(
        "nothing by itself: an `image:` that the cluster can pull, or `kube apply --push REGISTRY`"
    ),
    "services.*.cap_add": _map("`securityContext.capabilities.add`"),
    "services.*.cap_drop": _map("`securityContext.capabilities.drop`"),
    "services.*.cgroup": _warn(_NODES),
    "services.*.cgroup_parent": _warn(_NODES),
    "services.*.command": _map("`args`, with `$` doubled where Kubernetes would expand it"),
    "services.*.configs": _map("a ConfigMap, mounted by `subPath`; other content makes other pods"),
    "services.*.container_name": _map("one more Service of that name"),
    "services.*.cpu_count": _warn(_WINDOWS),
    "services.*.cpu_percent": _warn(_WINDOWS),
    "services.*.cpu_period": _map("with cpu_quota, `limits.cpu`"),
    "services.*.cpu_quota": _map("with cpu_period, `limits.cpu`"),
    "services.*.cpu_rt_period": _warn(_NO_LIMIT),
    "services.*.cpu_rt_runtime": _warn(_NO_LIMIT),
    "services.*.cpu_shares": _warn("is left out: deploy.resources.reservations.cpus says what is due to it"),
    "services.*.cpus": _map("`limits.cpu`"),
    "services.*.cpuset": _warn(_NODES),
    "services.*.credential_spec": _warn(_WINDOWS),
    "services.*.depends_on": _map(
        "healthy: an init container that waits for the Service's port; completed: `kube apply` waits for the "
        "Job; started: nothing"
    ),
    "services.*.depends_on.*.restart": _note("nothing restarts it there when what it needs is replaced"),
    "services.*.deploy": _map(
        "replicas, `mode: global` a DaemonSet, `*-job` a Job, update_config the strategy, placement the "
        "nodeSelector, resources limits and requests"
    ),
    "services.*.deploy.endpoint_mode": _note("every Service has one address there"),
    "services.*.deploy.labels": SILENT,
    "services.*.deploy.placement.max_replicas_per_node": _warn("is left out: x-kube.patches can spread pods"),
    "services.*.deploy.placement.preferences": _warn("is left out: x-kube.patches can spread pods"),
    "services.*.deploy.resources.limits.pids": _warn(_NO_LIMIT),
    "services.*.deploy.resources.reservations.generic_resources": _warn(
        "is left out: a device plugin has to offer it"
    ),
    "services.*.deploy.restart_policy.delay": _note(
        "a cluster waits 10 s, then twice as long each time, up to 5 min"
    ),
    "services.*.deploy.restart_policy.window": _note("a cluster forgets restarts after 10 min"),
    "services.*.deploy.rollback_config": _note("kubectl rollout undo rolls back there"),
    "services.*.deploy.update_config.failure_action": _note(_ROLLING),
    "services.*.deploy.update_config.max_failure_ratio": _note(_ROLLING),
    "services.*.deploy.update_config.monitor": _note(_ROLLING),
    "services.*.develop": SILENT,
    "services.*.device_cgroup_rules": _warn("is left out: a device plugin has to offer devices"),
    "services.*.devices": _map("GPUs as `limits` of `nvidia.com/gpu`; others are left out with a warning"),
    "services.*.dns": _map("`dnsConfig.nameservers`"),
    "services.*.dns_opt": _map("`dnsConfig.options`"),
    "services.*.dns_search": _map("`dnsConfig.searches`"),
    "services.*.domainname": _warn(_LEFT),
    "services.*.entrypoint": _map("`command`"),
    "services.*.env_file": SILENT,
    "services.*.environment": _map(
        "`env`; what looks like a secret (PASSWORD, TOKEN, KEY, a URL or connection string with a password) by a "
        "Secret"
    ),
    "services.*.expose": _map("ports of the Service, beside those at which others call it"),
    "services.*.extends": SILENT,
    "services.*.external_links": _warn("is left out: other projects are called by SERVICE.NAMESPACE there"),
    "services.*.extra_hosts": _map("`hostAliases`; `host-gateway` is refused"),
    "services.*.gpus": _map("`limits` of `nvidia.com/gpu`"),
    "services.*.group_add": _map("`supplementalGroups`, numbers only"),
    "services.*.healthcheck": _map(
        "readinessProbe, start_period a startupProbe (the image's check too); a livenessProbe with "
        "`x-kube.liveness` only"
    ),
    "services.*.hostname": _map("the pod's `hostname`"),
    "services.*.image": _map("`image`"),
    "services.*.init": _note("the container's own process 1 has to reap there"),
    "services.*.ipc": _map("`host`: hostIPC; that of another container is refused"),
    "services.*.isolation": _warn(_WINDOWS),
    "services.*.label_file": SILENT,
    "services.*.labels": _map("the pod's annotations"),
    "services.*.links": _map("an alias is one more Service"),
    "services.*.logging": SILENT,
    "services.*.mac_address": _warn(_ADDRESSES),
    "services.*.mem_limit": _map("`limits.memory`"),
    "services.*.mem_reservation": _map("`requests.memory`"),
    "services.*.mem_swappiness": _warn(_NODES),
    "services.*.memswap_limit": _warn(_NODES),
    "services.*.models": _refuse("there is nothing that runs models in a cluster: make it a service"),
    "services.*.network_mode": _map(
        "`host`: hostNetwork; `none`: a policy that lets nothing through; that of another container is refused"
    ),
    "services.*.networks": _map("labels for the policies; aliases are further Services"),
    "services.*.networks.*.driver_opts": _warn(_ADDRESSES),
    "services.*.networks.*.gw_priority": SILENT,
    "services.*.networks.*.interface_name": _warn(_ADDRESSES),
    "services.*.networks.*.ipv4_address": _warn(_ADDRESSES),
    "services.*.networks.*.ipv6_address": _warn(_ADDRESSES),
    "services.*.networks.*.link_local_ips": _warn(_ADDRESSES),
    "services.*.networks.*.mac_address": _warn(_ADDRESSES),
    "services.*.networks.*.priority": SILENT,
    "services.*.oom_kill_disable": _warn(_NODES),
    "services.*.oom_score_adj": _note("a cluster derives it from what is requested"),
    "services.*.pid": _map("`host`: hostPID; that of another container is refused"),
    "services.*.pids_limit": _warn(_NO_LIMIT),
    "services.*.platform": _map("`nodeSelector`"),
    "services.*.ports": _map("ports of the Service; outside only with `x-kube.expose`"),
    "services.*.ports.[].mode": SILENT,
    "services.*.post_start": _map("`lifecycle.postStart`, one command"),
    "services.*.pre_start": _map("init containers"),
    "services.*.pre_stop": _map("`lifecycle.preStop`, one command"),
    "services.*.privileged": _map("`securityContext.privileged`"),
    "services.*.profiles": SILENT,
    "services.*.provider": _refuse("a provider runs on this machine: there is nothing to run in a cluster"),
    "services.*.pull_policy": _map("`imagePullPolicy`"),
    "services.*.pull_refresh_after": SILENT,
    "services.*.read_only": _map("`readOnlyRootFilesystem`"),
    "services.*.restart": _map("Always; of a Job OnFailure, or Never"),
    "services.*.runtime": _warn("is left out: x-kube.patches can say runtimeClassName"),
    "services.*.scale": _map("`replicas`"),
    "services.*.secrets": _map("a Secret, mounted by `subPath`; other content makes other pods"),
    "services.*.security_opt": _map(
        "no-new-privileges, seccomp=unconfined, AppArmor and SELinux fields; a seccomp profile of a file is refused"
    ),
    "services.*.shm_size": _map("an `emptyDir` in memory at /dev/shm"),
    "services.*.stdin_open": _map("`stdin`"),
    "services.*.stop_grace_period": _map("`terminationGracePeriodSeconds`"),
    "services.*.stop_signal": _note("the image's own signal is sent there (STOPSIGNAL)"),
    "services.*.storage_opt": _warn(_NO_LIMIT),
    "services.*.sysctls": _map("the pod's `sysctls`"),
    "services.*.tmpfs": _map("an `emptyDir` in memory"),
    "services.*.tty": _map("`tty`"),
    "services.*.ulimits": _warn(_NODES),
    "services.*.use_api_socket": _refuse("no such engine runs in a cluster"),
    "services.*.user": _map("`runAsUser`, `runAsGroup`; names are looked up in the image where it is here"),
    "services.*.userns_mode": _warn(_NODES),
    "services.*.uts": _warn(_NODES),
    "services.*.volumes": _map(
        "named: one claim per volume; a file: a ConfigMap (a Secret when others may not read it), with its mode; a "
        "directory: refused, or left out where the image is built from it"
    ),
    "services.*.volumes.[].bind": SILENT,
    "services.*.volumes.[].bind.propagation": _warn(_LEFT),
    "services.*.volumes.[].bind.selinux": SILENT,
    "services.*.volumes.[].consistency": SILENT,
    "services.*.volumes.[].tmpfs.mode": _note("a directory in memory has mode 0777 there"),
    "services.*.volumes.[].volume.labels": SILENT,
    "services.*.volumes_from": _refuse("mounts of others can't be taken over: name the volumes"),
    "services.*.working_dir": _map("`workingDir`"),
    "networks.*": _map("a NetworkPolicy each, when there are several or one is internal"),
    "networks.*.attachable": SILENT,
    "networks.*.driver": SILENT,
    "networks.*.driver_opts": SILENT,
    "networks.*.enable_ipv4": SILENT,
    "networks.*.enable_ipv6": SILENT,
    "networks.*.ipam": SILENT,
    "networks.*.labels": SILENT,
    "volumes.*": _map("a PersistentVolumeClaim (1Gi, ReadWriteOnce: `x-kube`); an external one by its name"),
    "volumes.*.driver": _warn("is left out: x-kube.storageClass says what kind of storage it is"),
    "volumes.*.driver_opts": _warn("is left out: x-kube.storageClass says what kind of storage it is"),
    "volumes.*.labels": SILENT,
    "configs.*": _map("a ConfigMap; an external one by its name"),
    "configs.*.labels": SILENT,
    "configs.*.template_driver": _warn(_LEFT),
    "secrets.*": _map("a Secret; an external one by its name"),
    "secrets.*.driver": _warn(_LEFT),
    "secrets.*.driver_opts": _warn(_LEFT),
    "secrets.*.labels": SILENT,
    "secrets.*.template_driver": _warn(_LEFT),
}
# Values that say what is so anyway.
_PLAIN = {
    ("services.*.cgroup", "private"),
    ("services.*.runtime", "runc"),
    ("services.*.userns_mode", "host"),
    ("volumes.*.driver", "local"),
}
_TRIE: Trie[tuple[str, Treatment]] = compile_table({pattern: (pattern, row) for pattern, row in ROWS.items()})


def find_unmapped(remarks: Remarks) -> None:
    """Find what is written anywhere in the tree and has no meaning in a cluster."""
    _walk(remarks, remarks.tree, (), _TRIE)
    for name, service in (remarks.tree.get("services") or {}).items():
        for key in ("network_mode", "ipc", "pid"):
            if str(service.get(key) or "").startswith(("service:", "container:")):
                remarks.error(("services", name, key), _SHARING)


def _walk(remarks: Remarks, node: Any, path: Path, rows: Trie[tuple[str, Treatment]]) -> None:
    if isinstance(node, Map):
        steps = [(key, value, rows.key(key)) for key, value in node.items()]
    elif isinstance(node, Seq):
        steps = [(index, value, rows.items) for index, value in enumerate(node)]  # type: ignore[misc]
    else:
        return
    for key, value, below in steps:
        if below is None:
            continue
        if below.rule is not None and value not in (None, False, "", [], {}):
            pattern, row = below.rule
            if (pattern, value if isinstance(value, str) else "") not in _PLAIN:
                _say(remarks, row, (*path, key))
        _walk(remarks, value, (*path, key), below)


def _say(remarks: Remarks, row: Treatment, path: Path) -> None:
    say = {"error": remarks.error, "warning": remarks.warning, "note": remarks.note}.get(row.kind)
    if say is not None:
        say(path, row.text)
