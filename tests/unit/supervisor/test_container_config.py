"""Every rule of `docker run` that is only data: service and image → container."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from pycompose import labels
from pycompose.engine.config import DEFAULT_CAPABILITIES, ContainerConfig, LogConfig, Mount, MountKind
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import EngineError
from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.model import Condition, Dependency, Logging, Service
from pycompose.supervisor.runtime.container_config import (
    Parts,
    capabilities,
    container_config,
    merge_environment,
    signal_number,
    tmpfs_mounts,
)

from tests.unit.supervisor.examples import IMAGE_ID, image, project

ID = "1234567890ab" + "0" * 52
PARTS = Parts(id=ID, name="demo-web-1", number=1)


def made(image_config: dict[str, Any] | None = None, parts: Parts = PARTS, **changes: Any) -> ContainerConfig:
    service = replace(Service(name="web", image="busybox", hash="h1"), **changes)
    return container_config(project(service), service, image(**(image_config or {})), parts)


# ---------------------------------------------------------------------- the process


@pytest.mark.parametrize(
    ("entrypoint", "command", "args"),
    (
        (None, None, ("/entry", "image")),
        (None, ("mine",), ("/entry", "mine")),
        (None, (), ("/entry",)),
        (("/mine",), None, ("/mine",)),  # the image's command belongs to the image's entrypoint
        (("/mine",), ("a", "b"), ("/mine", "a", "b")),
        ((), ("a",), ("a",)),
    ),
)
def test_entrypoint_and_command(
    entrypoint: tuple[str, ...] | None, command: tuple[str, ...] | None, args: tuple[str, ...]
) -> None:
    """compose-spec, "entrypoint": one of the service's own discards what the image says after it."""
    brought = {"entrypoint": ("/entry",), "cmd": ("image",)}

    assert made(brought, entrypoint=entrypoint, command=command).process.args == args


def test_without_any_command_there_is_nothing_to_start() -> None:
    """The error names service and image."""
    with pytest.raises(EngineError, match="service web: no command: neither the service nor image busybox"):
        made({"cmd": ()})


def test_the_service_goes_before_the_image() -> None:
    """User, folder and stop signal."""
    brought = {"user": "70", "working_dir": "/image", "stop_signal": "SIGINT"}
    inherited = made(brought)
    own = made(brought, user="1:2", working_dir="/own", stop_signal="SIGUSR1")

    assert (inherited.process.user.spec, inherited.process.cwd) == ("70", "/image")
    assert inherited.stop_signal == signal.SIGINT
    assert (own.process.user.spec, own.process.cwd, own.stop_signal) == ("1:2", "/own", signal.SIGUSR1)
    assert (made().process.cwd, made().stop_signal, made().stop_grace_s) == ("/", signal.SIGTERM, 10.0)


def test_a_relative_working_directory_is_refused() -> None:
    """Nobody could say relative to what."""
    with pytest.raises(EngineError, match="service web: working directory 'srv' is not absolute"):
        made(working_dir="srv")


def test_variables_keep_their_places_and_none_removes_one() -> None:
    """The image's order, new ones at the end."""
    assert merge_environment(("PATH=/bin", "A=1", "B"), {"A": "2", "B": None, "C": "x=y", "D": ""}) == (
        "PATH=/bin", "A=2", "C=x=y", "D=",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"),
    (("SIGTERM", 15), ("term", 15), ("9", 9), (" SIGINT ", 2), ("RTMIN+3", signal.SIGRTMIN + 3)),
)
def test_signals(text: str, number: int) -> None:
    """By name with or without SIG, by number, relative to the real-time ones."""
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ("SIGNOPE", "0", "65", "", "RTMIN+x", "-1"))
def test_signals_that_there_are_not(text: str) -> None:
    """No number is taken on trust."""
    with pytest.raises(EngineError, match="unknown signal"):
        signal_number(text)


# ---------------------------------------------------------------------- rights


@pytest.mark.parametrize(
    ("add", "drop", "result"),
    (
        ((), (), DEFAULT_CAPABILITIES),
        (("NET_ADMIN",), (), (*DEFAULT_CAPABILITIES, "NET_ADMIN")),
        (("cap_net_admin",), ("ALL",), ("NET_ADMIN",)),
        (("CHOWN",), (), DEFAULT_CAPABILITIES),
        (("CHOWN",), ("CHOWN",), (*(c for c in DEFAULT_CAPABILITIES if c != "CHOWN"), "CHOWN")),
        (("ALL",), ("SYS_ADMIN",), tuple(c for c in CAPABILITIES if c != "SYS_ADMIN")),
        ((), ("ALL",), ()),
    ),
)
def test_capabilities(add: tuple[str, ...], drop: tuple[str, ...], result: tuple[str, ...]) -> None:
    """First what is dropped, then what is added; ALL added leaves out what is dropped by name."""
    assert capabilities(Service(name="web", cap_add=add, cap_drop=drop)) == tuple(result)


def test_privileged_has_all_capabilities() -> None:
    """Whatever is dropped."""
    assert capabilities(Service(name="web", privileged=True, cap_drop=("ALL",))) == tuple(CAPABILITIES)


def test_a_capability_that_there_is_not_is_named() -> None:
    """A typo must not mean less protection than was meant."""
    with pytest.raises(EngineError, match="service web: unknown capability 'NET_ADMINS'"):
        capabilities(Service(name="web", cap_drop=("NET_ADMINS",)))


@pytest.mark.parametrize(
    ("option", "value"),
    (
        ("no-new-privileges", True),
        ("no-new-privileges:true", True),
        ("no-new-privileges=false", False),
        ("", False),
    ),
)
def test_no_new_privileges(option: str, value: bool) -> None:  # noqa: FBT001
    """With a colon, with an equals sign, alone."""
    assert made(security_opt=(option,) if option else ()).process.no_new_privs is value


def test_security_options() -> None:
    """Profiles, and the paths of /proc that are hidden otherwise."""
    security = made(security_opt=("seccomp=unconfined", "systempaths=unconfined"), read_only=True).security

    assert security.seccomp == "unconfined"
    assert security.system_paths_unconfined
    assert security.read_only_rootfs
    assert not made().security.system_paths_unconfined


# ---------------------------------------------------------------------- namespaces and names


@pytest.mark.parametrize(
    ("key", "mode", "result"),
    (
        ("network_mode", "", "private"),
        ("network_mode", "bridge", "private"),
        ("network_mode", "none", "private"),
        ("network_mode", "host", "host"),
        ("network_mode", "service:db", f"container:{'d' * 64}"),
        ("pid", "service:db", f"container:{'d' * 64}"),
        ("pid", "host", "host"),
        ("ipc", "", "private"),
        ("ipc", "shareable", "shareable"),
        ("ipc", "none", "none"),
        ("uts", "host", "host"),
        ("cgroup", "host", "host"),
    ),
)
def test_namespaces(key: str, mode: str, result: str) -> None:
    """Each is a mode of its own, the host's, or that of another container, whose id is known by then."""
    parts = replace(PARTS, joined={"service:db": "d" * 64})
    fields: dict[str, Any] = {key: mode}
    namespaces = made(parts=parts, **fields).namespaces

    assert getattr(namespaces, key.removesuffix("_mode")) == result


@pytest.mark.parametrize(
    ("changes", "parts", "hostname"),
    (
        ({}, PARTS, "1234567890ab"),
        ({"hostname": "box"}, PARTS, "box"),
        ({"network_mode": "host"}, PARTS, os.uname().nodename),
        ({"uts": "host"}, PARTS, ""),
        ({}, replace(PARTS, hostname="theirs"), "theirs"),
    ),
    ids=["id", "own", "network of the host", "names of the host", "network of another container"],
)
def test_hostname(changes: dict[str, Any], parts: Parts, hostname: str) -> None:
    """The short id, unless its network or its names are somebody else's."""
    assert made(parts=parts, **changes).hostname == hostname


def test_labels_of_ours_go_last() -> None:
    """Image, service, then what the project's containers are found by: nobody may forge these."""
    parts = replace(PARTS, number=3, oneoff=True, version="1.2", replaces="e" * 64)
    forged = {labels.PROJECT: "other", "who": "service", "own": "1"}
    needs = (
        Dependency(service="db", condition=Condition.HEALTHY, restart=True),
        Dependency(service="cache"),
    )
    found = made({"labels": {"who": "image", "brought": "1"}}, parts, labels=forged, depends_on=needs).labels

    assert {key: found[key] for key in ("who", "own", "brought")} == {
        "who": "service",
        "own": "1",
        "brought": "1",
    }
    assert found[labels.PROJECT] == "demo"
    assert found[labels.DEPENDS_ON] == "db:service_healthy:true,cache:service_started:false"
    assert (found[labels.SERVICE], found[labels.NUMBER], found[labels.ONEOFF]) == ("web", "3", "True")
    assert (found[labels.CONFIG_HASH], found[labels.IMAGE]) == ("h1", IMAGE_ID)
    assert found[labels.REPLACE] == "e" * 64
    assert labels.REPLACE not in made().labels
    assert labels.ENVIRONMENT_FILE not in made().labels


# ---------------------------------------------------------------------- mounts and logs


def test_mounts_below_others_come_after_them() -> None:
    """Else the upper one would hide them."""
    parts = replace(
        PARTS,
        mounts=tuple(Mount(kind=MountKind.BIND, source="/x", target=t) for t in ("/a/b/c", "/a", "/a/b/")),
    )

    assert [m.target for m in made(parts=parts, tmpfs=("/z",)).mounts] == ["/a", "/z", "/a/b/", "/a/b/c"]


def test_tmpfs_has_dockers_flags_and_then_those_that_are_given() -> None:
    """The later one of a pair wins."""
    plain, given = tmpfs_mounts(Service(name="web", tmpfs=("/a", "/b:size=1m,exec")))

    assert (plain.target, plain.options) == ("/a", ("noexec", "nosuid", "nodev"))
    assert (given.target, given.options) == ("/b", ("noexec", "nosuid", "nodev", "size=1m", "exec"))


@pytest.mark.parametrize(
    ("logging", "config"),
    (
        (Logging(), LogConfig(driver="json-file", max_bytes=0, max_files=1)),
        (
            Logging(driver="local", options={"max-size": "10k", "max-file": "3"}),
            LogConfig(driver="local", max_bytes=10 * 1024, max_files=3),
        ),
        (Logging(driver="local"), LogConfig(driver="local", max_bytes=20 << 20, max_files=5)),
        (Logging(driver="none", options={"max-size": "10k"}), LogConfig(driver="none")),
        (
            Logging(driver="journald", options={"tag": "{{.Name}}/{{ .ID }}", "cache-disabled": "1"}),
            LogConfig(
                driver="journald",
                tag=f"{PARTS.name}/{PARTS.id[:12]}",
                cache=False,
                max_bytes=20 << 20,
                max_files=5,
            ),
        ),
        (
            Logging(
                driver="syslog",
                options={
                    "syslog-address": "tcp://127.0.0.1",
                    "syslog-facility": "local2",
                    "syslog-format": "rfc5424",
                    "cache-max-size": "1m",
                    "cache-max-file": "2",
                },
            ),
            LogConfig(
                driver="syslog",
                address="tcp://127.0.0.1:514",
                facility=18,
                format="rfc5424",
                max_bytes=1 << 20,
                max_files=2,
            ),
        ),
    ),
)
def test_logging(logging: Logging, config: LogConfig) -> None:
    """Sizes in the file's units."""
    assert made(logging=logging).log == config


@pytest.mark.parametrize(
    ("logging", "reason"),
    (
        (Logging(driver="splunk"), "logging: unknown driver 'splunk'"),
        (Logging(options={"max-file": "0"}), "max-file is '0'"),
        (Logging(options={"max-file": "many"}), "max-file is 'many'"),
        (Logging(driver="syslog", options={"tag": "{{.Nmae}}"}), r"tag: there is no {{.Nmae}}"),
        (Logging(driver="syslog", options={"tag": "{{lower .Name}}"}), "only names can stand between braces"),
        (Logging(driver="syslog", options={"syslog-facility": "x"}), "'x' is not a facility"),
        (Logging(driver="syslog", options={"syslog-address": "tcp+tls://h"}), "TLS is not supported"),
    ),
)
def test_logging_that_cannot_be(logging: Logging, reason: str) -> None:
    """Nothing is logged to nowhere."""
    with pytest.raises(EngineError, match=f"service web: .*{reason}"):
        made(logging=logging)
