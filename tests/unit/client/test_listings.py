"""What is shown of projects and containers, from the files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pycompose.client import listings
from pycompose.client.query_options import ImagesOptions, LsOptions, PortOptions, PsOptions, VolumesOptions
from pycompose.engine.errors import NoSuchContainer, PycomposeError
from pycompose.engine.state import Status
from pycompose.labels import CONFIG_FILES
from pycompose.state.snapshot import STANDALONE
from pycompose.volumes.store import ANONYMOUS, PROJECT

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path

PORTS = {"ports": [{"host_ip": "0.0.0.0", "host_port": 8080, "protocol": "tcp", "target": 80}]}


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    """Return an empty machine."""
    return StateFiles(tmp_path)


def test_ps_shows_what_runs_unless_asked_for_all(state: StateFiles) -> None:
    """A container between two starts counts as one that runs, a one-off doesn't belong to the service."""
    state.container("web")
    state.container("again", status=Status.EXITED, runtime={"restarting": True})
    state.container("done", status=Status.EXITED)
    state.container("once", oneoff=True)

    def shown(**options: Any) -> list[str]:
        return [view.service for view in listings.ps(state.context, "demo", PsOptions(**options))]

    assert shown() == ["again", "web"]
    assert shown(all=True) == ["again", "done", "once", "web"]
    assert shown(all=True, services=("done",)) == ["done"]
    assert shown(all=True, orphans=False, known_services=("web", "done")) == ["done", "web"]


@pytest.mark.parametrize(
    ("status", "runtime", "state_shown", "has_ports"),
    (
        (Status.RUNNING, PORTS, "running", True),
        (Status.PAUSED, PORTS, "paused", True),
        (Status.CREATED, None, "created", False),
        (Status.EXITED, PORTS, "exited", False),
        (Status.EXITED, {**PORTS, "restarting": True}, "restarting", False),
    ),
)
def test_a_view_says_what_is_true_now(
    state: StateFiles,
    status: Status,
    runtime: dict[str, Any] | None,
    state_shown: str,
    has_ports: bool,  # noqa: FBT001 - a table
) -> None:
    """Ports that were published once aren't published by a container that has ended."""
    state.container(status=status, runtime=runtime, exit_code=3)
    (view,) = listings.ps(state.context, "demo", PsOptions(all=True))

    assert (view.state, bool(view.ports), bool(view.pid)) == (state_shown, has_ports, has_ports)


def test_mounts_tell_volumes_from_directories(state: StateFiles) -> None:
    state.container(volumes=("data",))
    (view,) = listings.ps(state.context, "demo", PsOptions())

    assert [(mount.kind, mount.source, mount.target, mount.local) for mount in view.mounts] == [
        ("volume", "data", "/data", True)
    ]


def test_port_asks_the_lowest_replica_or_the_one_named(state: StateFiles) -> None:
    other = {"ports": [{"host_ip": "127.0.0.1", "host_port": 9090, "protocol": "tcp", "target": 80}]}
    state.container("web", number=2, runtime=other)
    state.container("web", number=1, runtime=PORTS)

    def asked(index: int = 0, port: int = 80, protocol: str = "tcp") -> int:
        options = PortOptions(service="web", port=port, protocol=protocol, index=index)
        return listings.port(state.context, "demo", options).host_port

    assert (asked(), asked(2)) == (8080, 9090)
    with pytest.raises(NoSuchContainer, match=r"index 3"):
        asked(3)
    with pytest.raises(PycomposeError, match=r"no port 80/udp .*: 80/tcp"):
        asked(protocol="udp")


def test_ls_counts_states_and_names_files(state: StateFiles) -> None:
    """What `container run` has made is no project."""
    state.container("web", labels={CONFIG_FILES: "/a.yaml,/b.yaml"})
    state.container("db", status=Status.PAUSED, labels={CONFIG_FILES: "/a.yaml"})
    state.container("job", status=Status.EXITED)
    state.container("web", project="idle", status=Status.EXITED)
    state.container("any", project=STANDALONE)

    def shown(**options: Any) -> list[tuple[str, dict[str, int]]]:
        return [(view.name, dict(view.counts)) for view in listings.ls(state.context, LsOptions(**options))]

    assert shown() == [("demo", {"running": 1, "paused": 1})]
    assert shown(all=True) == [("demo", {"exited": 1, "paused": 1, "running": 1}), ("idle", {"exited": 1})]
    assert shown(all=True, names=("id",)) == [("idle", {"exited": 1})]
    assert listings.ls(state.context, LsOptions())[0].config_files == ("/a.yaml", "/b.yaml")


@pytest.mark.parametrize(
    ("reference", "repository", "tag"),
    (
        ("busybox:1.36", "busybox", "1.36"),
        ("busybox", "busybox", "latest"),
        ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b", "c"),
        ("busybox:1@sha256:00", "busybox", "1"),
        ("host", "host", ""),
    ),
)
def test_images_are_named_by_repository_and_tag(
    state: StateFiles, reference: str, repository: str, tag: str
) -> None:
    """A colon before a slash belongs to a port; an image that has gone keeps its line."""
    state.container(image=reference, image_id="sha256:" + "0" * 64)
    (view,) = listings.images(state.context, "demo", ImagesOptions())

    assert (view.repository, view.tag, view.container) == (repository, tag, "demo-web-1")


def test_volumes_of_a_project_and_of_a_service(state: StateFiles) -> None:
    """Named ones, with the number of containers that mount them; those of others only where they are mounted."""
    for name in ("used", "idle"):
        state.volume(name, **{PROJECT: "demo"})
    state.volume("anonymous", **{PROJECT: "demo", ANONYMOUS: ""})
    state.volume("shared", **{PROJECT: "other"})
    state.volume("foreign", **{PROJECT: "other"})
    state.container("web", volumes=("used", "shared", "anonymous"))
    state.container("db", volumes=("used",), status=Status.EXITED)

    def shown(*services: str) -> dict[str, int | None]:
        options = VolumesOptions(services=services)
        return {view.name: view.links for view in listings.volumes(state.context, "demo", options)}

    assert shown() == {"idle": 0, "shared": 1, "used": 2}
    assert shown("db") == {"used": 1}
