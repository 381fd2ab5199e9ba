"""A container with the edits of its devices, as container-device-interface's oci.go applies them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.config import ContainerConfig, Device, Mount, MountKind
from pycompose.engine.dataclass import replace

if TYPE_CHECKING:
    from pycompose.cdi.spec import BindMount, CdiNode, Edits

_DEFAULT_MODE = 0o666
_PROPAGATIONS = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_IMPLIED = frozenset({"bind", "rbind", "rw", "ro"})


def apply(config: ContainerConfig, edits: Edits) -> ContainerConfig:
    """Return the container with `edits`, which win over what it has."""
    process, user = config.process, config.process.user
    groups = dict.fromkeys([*user.additional_groups, *map(str, edits.gids)])
    return replace(
        config,
        process=replace(
            process,
            env=_merged(process.env, edits.env),
            user=replace(user, additional_groups=tuple(groups)),
        ),
        devices=tuple({d.target: d for d in (*config.devices, *map(_device, edits.nodes))}.values()),
        mounts=_mounts(config.mounts, edits.mounts),
        hooks=edits.hooks,
    )


def _merged(env: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables with `more` over them: a same name keeps its place."""
    return tuple({entry.partition("=")[0]: entry for entry in (*env, *more)}.values())


def _device(node: CdiNode) -> Device:
    return Device(
        source=node.host_path,
        target=node.path,
        permissions=node.permissions,
        kind=node.type,
        major=node.major,
        minor=node.minor,
        mode=_DEFAULT_MODE if node.mode is None else node.mode,
        uid=node.uid or 0,
        gid=node.gid or 0,
    )


def _mounts(mounts: tuple[Mount, ...], more: tuple[BindMount, ...]) -> tuple[Mount, ...]:
    placed = {mount.target: mount for mount in (*mounts, *map(_mount, more))}
    return tuple(sorted(placed.values(), key=lambda mount: mount.target.rstrip("/").count("/")))


def _mount(bind: BindMount) -> Mount:
    """Return the mount. What is mounted below the source comes along."""
    propagation = [option for option in bind.options if option in _PROPAGATIONS]
    return Mount(
        kind=MountKind.BIND,
        source=bind.source,
        target=bind.target,
        read_only="ro" in bind.options,
        propagation=(propagation or ["rprivate"])[-1],
        options=tuple(option for option in bind.options if option not in _PROPAGATIONS | _IMPLIED),
    )
