"""Who a container runs as, and what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.kube.scope import KubeScope, Object, place
from pycompose.model import split_security_option

if TYPE_CHECKING:
    from pycompose.config.tree import Path
    from pycompose.model import Service

_TRUE = frozenset({"", "1", "t", "T", "TRUE", "true", "True"})
_SELINUX = ("user", "role", "type", "level")


def container_security(scope: KubeScope, service: Service) -> Object:
    """Return the `securityContext` of a container."""
    found: Object = user_of(scope, service, service.user, place(service, "user"))
    capabilities = {
        word: sorted({name.upper().removeprefix("CAP_") for name in given})
        for word, given in (("add", service.cap_add), ("drop", service.cap_drop))
        if given
    }
    if capabilities:
        found["capabilities"] = capabilities
    if service.privileged:
        found["privileged"] = True
    if service.read_only:
        found["readOnlyRootFilesystem"] = True
    for index, option in enumerate(service.security_opt):
        _option(scope, service, option, index, found)
    return found


def pod_security(scope: KubeScope, service: Service, *, shares: bool) -> Object:
    """Return the `securityContext` of a pod; with `shares` it mounts what its user has to have a group for."""
    found: Object = {}
    groups: list[int] = []
    for index, group in enumerate(service.group_add):
        if group.isdigit():
            groups.append(int(group))
        else:
            scope.remarks.warning(
                place(service, "group_add", index), f"{group} is a name: a cluster takes numbers; left out"
            )
    if groups:
        found["supplementalGroups"] = groups
    user = user_of(scope, service, service.user, place(service, "user"), quiet=True)
    group_id = user.get("runAsGroup", user.get("runAsUser", 0))
    if shares and group_id:
        found["fsGroup"] = group_id
    if service.sysctls:
        found["sysctls"] = [{"name": key, "value": value} for key, value in sorted(service.sysctls.items())]
    return found


def user_of(scope: KubeScope, service: Service, spec: str, path: Path, *, quiet: bool = False) -> Object:
    """Return user and group as numbers, names by the image's passwd where the image is here."""
    if not spec:
        return {}
    user, _, group = spec.partition(":")
    if (user.isdigit() or not user) and (group.isdigit() or not group):
        own = {"runAsUser": int(user)} if user else {}
        return {**own, **({"runAsGroup": int(group)} if group else {})}
    facts = scope.image(service)
    ids = facts.ids(spec) if facts else None
    if ids is None:
        if not quiet:
            scope.remarks.warning(
                path,
                f"{spec} is a name, a cluster takes numbers, and the image isn't here to look it up: "
                "the image's own user is used",
            )
        return {}
    return {"runAsUser": ids[0], "runAsGroup": ids[1]}


def _option(scope: KubeScope, service: Service, option: str, index: int, found: Object) -> None:
    key, value = split_security_option(option)
    kind, _, rest = value.partition(":")
    if key == "no-new-privileges" and value in _TRUE and service.privileged:
        scope.remarks.warning(
            place(service, "security_opt", index),
            f"{option} is left out: a cluster refuses it beside privileged",
        )
    elif key == "no-new-privileges" and value in _TRUE:
        found["allowPrivilegeEscalation"] = False
    elif key == "no-new-privileges":
        pass
    elif key == "seccomp" and value == "unconfined":
        found["seccompProfile"] = {"type": "Unconfined"}
    elif key == "apparmor" and value == "unconfined":
        found["appArmorProfile"] = {"type": "Unconfined"}
    elif key == "apparmor" and value:
        found["appArmorProfile"] = {"type": "Localhost", "localhostProfile": value}
        scope.remarks.note(place(service, "security_opt", index), f"{value} has to be loaded on every node")
    elif key == "label" and kind in _SELINUX and rest:
        found.setdefault("seLinuxOptions", {})[kind] = rest
    elif key == "seccomp":
        scope.remarks.error(
            place(service, "security_opt", index),
            "the filter would be missing there: install the profile on the nodes and name it by x-kube.patches",
        )
    else:
        scope.remarks.warning(place(service, "security_opt", index), f"{option} is left out")
