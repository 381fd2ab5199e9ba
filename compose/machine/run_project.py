"""Containers outside any compose file: what the flags of `container run` and `container create` mean.

Such a container is a service of a project that all of them share and no compose file can have the name of. Its flags
are laid out as that service's keys, so that the loader reads, checks and completes them as it does a compose file.
"""

from __future__ import annotations

import csv
import re
import secrets
from typing import TYPE_CHECKING, Any

from pycompose.config.load import load_tree
from pycompose.config.options import LoadOptions
from pycompose.config.runnable import check_container
from pycompose.config.seccomp_profiles import embed_profiles
from pycompose.config.tree import Map, Seq
from pycompose.engine.cgroups.limits import check
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import CgroupError, PycomposeError
from pycompose.errors import ConfigError, ConfigErrors
from pycompose.machine.names import check_container_name
from pycompose.machine.run_flags import FLAGS, REPEATED, Flag
from pycompose.machine.run_mounts import volumes_of
from pycompose.model import Port, Restart
from pycompose.state.snapshot import STANDALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pycompose.client.options import ContainerRunOptions
    from pycompose.config.load import Loaded
    from pycompose.engine.images.spec import Image
    from pycompose.model import Project, Service

BRIDGE = "bridge"
PREFIX = "services.container."

_FIRST = (
    "amber", "bold", "brisk", "calm", "clear", "cool", "deep", "early", "fair", "fresh", "gentle", "green",
    "keen", "light", "lucky", "merry", "mild", "neat", "noble", "plain", "quick", "quiet", "rapid", "round",
    "sharp", "silver", "smart", "steady", "swift", "tidy", "warm", "wise",
)  # fmt: skip
_SECOND = (
    "ash", "badger", "beech", "birch", "brook", "cedar", "crane", "dove", "elm", "falcon", "fern", "finch",
    "fox", "hare", "hawk", "heron", "ibis", "lake", "lark", "linden", "lynx", "maple", "otter", "owl", "pine",
    "raven", "river", "robin", "stone", "swan", "tern", "wren",
)  # fmt: skip


def project_of(
    options: ContainerRunOptions, environment: Mapping[str, str], network: Callable[[str], str]
) -> tuple[Project, Loaded]:
    """Return the project with the one service that the flags describe, and the load for its warnings.

    `network` returns the whole name of a network that exists. Raises PycomposeError naming the flag.
    """
    _check(options)
    tree = _tree(options, network)
    try:
        loaded = load_tree(_escaped(tree), LoadOptions(project_name="containers", environment=environment))
        check_container(loaded.tree)
        project = embed_profiles(loaded.project, loaded.tree, loaded.directory)
    except ConfigErrors as errors:
        raise _flag_error(errors.errors[0], options) from None
    except ConfigError as error:
        raise _flag_error(error, options) from None
    name = options.name or generated_name()
    service = replace(project.services["container"], name=name)
    if options.restart is not None:
        service = replace(service, restart=Restart(**options.restart))
    if options.cpuset_mems:
        service = replace(service, limits=replace(service.limits, cpuset_mems=options.cpuset_mems))
    if options.links:
        linked = {_name(key, network): pairs for key, pairs in options.links.items()}
        endpoints = (replace(e, links=linked.get(e.network, ())) for e in service.networks)
        service = replace(service, networks=tuple(endpoints))
    _check_service(service)
    return replace(project, name=STANDALONE, services={name: service}), loaded


def ineffective_flags(service: Service, loaded: Loaded) -> list[str]:
    """Return what there is to say of flags that do nothing: by the loader, and by docker."""
    found = [warning.text for warning in loaded.warnings]
    if service.ports and service.network_mode == "host":
        found.append("--publish has no effect with --network host")
    if service.external_links and service.network_mode == "none":
        found.append("--link has no effect with --network none")
    return found


def generated_name() -> str:
    """Return a name for a container that was given none; chance makes it unique, and the claim of names certain."""
    return f"{secrets.choice(_FIRST)}-{secrets.choice(_SECOND)}-{secrets.token_hex(2)}"


def publish_exposed(service: Service, image: Image) -> Service:
    """Return the service with every port that it or its image exposes published at a free one (`-P`)."""
    ports = list(service.ports)
    for text in (*image.config.exposed_ports, *service.expose):
        numbers, _, protocol = text.partition("/")
        low, _, high = numbers.partition("-")
        for target in range(int(low), int(high or low) + 1):
            port = Port(target=target, protocol=protocol or "tcp")
            if not any((p.target, p.protocol) == (port.target, port.protocol) for p in ports):
                ports.append(port)
    return replace(service, ports=tuple(ports))


def _check(options: ContainerRunOptions) -> None:
    if options.name:
        check_container_name(f"--name {options.name}", options.name)
    if options.remove and options.restart is not None and options.restart["kind"] != "no":
        raise PycomposeError("--restart and --rm: cannot be combined")


def _check_service(service: Service) -> None:
    """Raise PycomposeError for what the loader lets through, and would be found with the container half made."""
    for entry in service.tmpfs:
        if not entry.startswith("/"):
            raise PycomposeError(f"--tmpfs {entry}: not an absolute path", hint="for example --tmpfs /run")
    try:
        check(service.limits)
    except CgroupError as exc:
        key, colon, reason = exc.message.partition(":")
        key, space, device = key.partition(" ")
        flag = next((f.names[-1] for f in FLAGS if ".".join(f.path) == key), f"--{key.replace('_', '-')}")
        raise PycomposeError(f"{flag}{space}{device}{colon}{reason}", hint=exc.hint) from None


def _escaped(node: Any) -> Any:
    """Return the tree with nothing for the loader to interpolate: a flag means what it says."""
    if isinstance(node, dict):
        return Map({key: _escaped(value) for key, value in node.items()})
    if isinstance(node, list):
        return Seq([_escaped(value) for value in node])
    return node.replace("$", "$$") if isinstance(node, str) else node


def _tree(options: ContainerRunOptions, network: Callable[[str], str]) -> dict[str, Any]:
    """Return the model of the project as a compose file would have it."""
    service: dict[str, Any] = {"image": options.image}
    for flag in FLAGS:
        value = options.keys.get(flag.key)
        if value is None or value == () or value is False:
            continue
        *outer, last = flag.path
        node = service
        for key in outer:
            node = node.setdefault(key, {})
        node[last] = _value(flag, value)
    if options.command:
        service["command"] = list(options.command)
    if options.entrypoint is not None:
        service["entrypoint"] = list(options.entrypoint)
    if options.env_files:
        service["env_file"] = [{"path": file, "format": "raw"} for file in options.env_files]
    if options.ulimits:
        service["ulimits"] = dict(_ulimit(text) for text in options.ulimits)
    if options.gpus:
        service["gpus"] = "all" if options.gpus == "all" else [_gpu(options.gpus)]
    if service.get("volumes_from"):
        service["volumes_from"] = [f"container:{entry}" for entry in service["volumes_from"]]
    volumes = volumes_of(options)
    if volumes:
        service["volumes"] = volumes
    named = {v["source"] for v in volumes if v["type"] == "volume" and v.get("source")}
    root = {"services": {"container": service}, "volumes": {name: {"name": name} for name in sorted(named)}}
    _add_networks(root, service, options, network)
    return root


def _value(flag: Flag, value: Any) -> Any:
    if flag.kind == "list":
        return list(value)
    if flag.kind == "pairs":
        return _pairs(flag.names[-1], value)
    if flag.kind in ("rates", "counts", "weights"):
        return [_device_rate(flag, text) for text in value]
    return f"{value}s" if flag.kind == "seconds" else value


def _pairs(flag: str, entries: Iterable[str]) -> dict[str, str]:
    found = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not key or not equals:
            raise PycomposeError(f"{flag} {entry}: not of the form KEY=VALUE")
        found[key] = value
    return found


def _device_rate(flag: Flag, text: str) -> dict[str, Any]:
    """Return path and number of DEVICE:NUMBER (docker/cli opts/throttledevice.go, weightdevice.go)."""
    path, colon, number = text.partition(":")
    if not colon or not path.startswith("/dev/"):
        raise PycomposeError(
            f"{flag.names[-1]} {text}: not of the form {flag.metavar}", hint="/dev/sda:1mb, say"
        )
    if flag.kind != "rates" and not (number.isascii() and number.isdigit()):
        raise PycomposeError(f"{flag.names[-1]} {text}: {number!r} is no number")
    return {
        "path": path,
        "weight" if flag.kind == "weights" else "rate": number if flag.kind == "rates" else int(number),
    }


def _ulimit(text: str) -> tuple[str, Any]:
    """Return name and limits of NAME=SOFT[:HARD]."""
    name, _, value = text.partition("=")
    soft, colon, hard = value.partition(":")
    try:
        return name, {"soft": int(soft), "hard": int(hard) if colon else int(soft)}
    except ValueError:
        raise PycomposeError(
            f"--ulimit {text}: not of the form NAME=SOFT[:HARD]", hint="for example nofile=1024:2048"
        ) from None


def _gpu(text: str) -> dict[str, Any]:
    """Return the request of `--gpus 2`, `device=0,1` or `count=1,capabilities=…` (docker/cli opts/gpus.go)."""
    request: dict[str, Any] = {"capabilities": ["gpu"]}
    for field_text in next(csv.reader([text])):
        key, equals, value = field_text.partition("=")
        key, value = (key, value) if equals else ("count", key)
        if key == "count":
            request["count"] = int(value) if value.isdigit() else value
        elif key == "device":
            request["device_ids"] = value.split(",")
        elif key == "driver":
            request["driver"] = value
        elif key == "capabilities":
            request["capabilities"] += value.split(",")
        else:
            raise PycomposeError(f"--gpus {text}: unknown key {key!r}")
    return request


# ---------------------------------------------------------------------- networks


def _add_networks(
    root: dict[str, Any], service: dict[str, Any], options: ContainerRunOptions, network: Callable[[str], str]
) -> None:
    """Put the service on its networks: those it names, else the one that all such containers are on."""
    mode = options.networks[0] if options.networks else ""
    details = {"ipv4_address": options.ip, "ipv6_address": options.ip6, "mac_address": options.mac}
    if mode in ("host", "none") or mode.startswith("container:"):
        if len(options.networks) > 1 or options.aliases or any(details.values()):
            raise PycomposeError(f"--network {mode}: cannot be combined with other networks or addresses")
        service["network_mode"] = mode
        return
    wanted = [_parse_network(text) for text in options.networks or (BRIDGE,)]
    if options.aliases:
        wanted[0][1].setdefault("aliases", []).extend(options.aliases)
    wanted[0][1].update({key: value for key, value in details.items() if value})
    if len(wanted) > 1:  # the first is what the mode names, whatever its letters
        wanted[0][1]["priority"] = 1
    root["networks"], service["networks"] = {}, {}
    for text, endpoint in wanted:
        name = _name(text, network)
        root["networks"][name] = {"name": name} if name == BRIDGE else {"name": name, "external": True}
        service["networks"][name] = endpoint or None


def _name(text: str, network: Callable[[str], str]) -> str:
    """Return the name of a network that somebody has called `text`."""
    return BRIDGE if text in ("default", BRIDGE) else network(text)


_NETWORK_KEYS = {
    "alias": "aliases",
    "ip": "ipv4_address",
    "ip6": "ipv6_address",
    "mac-address": "mac_address",
    "link-local-ip": "link_local_ips",
}


def _parse_network(text: str) -> tuple[str, dict[str, Any]]:
    """Return name and endpoint of NAME or `name=NAME,alias=A,ip=IP` (docker/cli opts/network.go)."""
    if "=" not in text:
        return text, {}
    name, endpoint = "", dict[str, Any]()
    for part in next(csv.reader([text])):
        key, _, value = part.partition("=")
        if key == "name":
            name = value
        elif key == "driver-opt":
            option, _, setting = value.partition("=")
            endpoint.setdefault("driver_opts", {})[option] = setting
        elif key not in _NETWORK_KEYS:
            known = f"known: name, driver-opt, {', '.join(_NETWORK_KEYS)}"
            raise PycomposeError(f"--network {text}: unknown key {key!r}", hint=known)
        elif key in ("alias", "link-local-ip"):
            endpoint.setdefault(_NETWORK_KEYS[key], []).append(value)
        else:
            endpoint[_NETWORK_KEYS[key]] = value
    if not name:
        raise PycomposeError(f"--network {text}: no name", hint="add name=NETWORK")
    return name, endpoint


# ---------------------------------------------------------------------- errors

# Keys that more flags than one of the table lead to.
_OTHER_KEYS = {
    "volumes": "--volume or --mount",
    "networks": "--network",
    "network_mode": "--network",
    "ulimits": "--ulimit",
    "env_file": "--env-file",
    "gpus": "--gpus",
    "image": "image",
}


def _flag_error(error: ConfigError, options: ContainerRunOptions) -> PycomposeError:
    """Return the loader's error with the flag in the place of the key."""
    path = error.location.path.removeprefix(PREFIX)
    key, _, rest = path.partition("[")
    flag = next((f for f in FLAGS if ".".join(f.path) == key), None)
    if flag is None:
        shown = _OTHER_KEYS.get(re.split(r"[.\[]", path)[0], path)
        return PycomposeError(f"{shown}: {error.reason}" if shown else error.reason, hint=error.hint)
    value = options.keys.get(flag.key)
    index = rest.partition("]")[0]
    if flag.kind in REPEATED and index.isdigit() and value and int(index) < len(value):
        return PycomposeError(f"{flag.names[-1]} {value[int(index)]}: {error.reason}", hint=error.hint)
    return PycomposeError(f"{flag.names[-1]}: {error.reason}", hint=error.hint)
