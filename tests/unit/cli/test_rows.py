"""What single commands make of a view."""

from __future__ import annotations

import json
import time

import pytest
from pycompose.cli.commands import events, images, ls, ps, stats, top, volumes
from pycompose.cli.display import table
from pycompose.cli.display.format import Layout, show
from pycompose.client.views import (
    ContainerView,
    EventView,
    ImageView,
    MountView,
    ProcessView,
    ProjectView,
    StatsView,
    VolumeView,
)
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.policy.observed import PortBinding

NS = 10**9
NOW = 1_700_000_100 * NS


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


CONTAINER = ContainerView(
    id="6ff8845d0bee" + "0" * 52,
    name="demo-web-1",
    image="nginx",
    command=("nginx", "-g", "daemon off;"),
    project="demo",
    service="web",
    state="running",
    health="healthy",
    created_ns=NOW - 20 * NS,
    started_ns=NOW - 10 * NS,
    ports=(PortBinding(target=80, host_port=8080, host_ip="0.0.0.0"),),
    labels={"a": "1", "b": "2"},
    mounts=(MountView(kind="volume", source="demo_data", target="/data", local=True),),
    networks=("demo_default",),
)


def test_ps_tells_of_engines_where_containers_do() -> None:
    """Compose 5.5 has a last column for the label, and `.Engine`."""
    labelled = replace(CONTAINER, labels={"com.docker.compose.engine": "one"})
    rows = [ps.fields(view, NOW) for view in (CONTAINER, labelled)]
    head, without, with_one = ps.table(rows, "").splitlines()
    assert head.endswith("PORTS                  ENGINE")
    assert without.rstrip().endswith("80/tcp")
    assert with_one.endswith("   one")
    assert "ENGINE" not in ps.table(rows[:1], "table")
    assert ps.table(rows, "{{.Engine}}") == "\none\n"


@pytest.mark.parametrize("layout", (ls.LAYOUT, images.LAYOUT))
def test_a_format_that_is_none(layout: Layout) -> None:
    with pytest.raises(PycomposeError, match='format value "xml" could not be parsed'):
        show([], "xml", layout)


def test_ps_is_a_table_like_compose_prints_it() -> None:
    """Compared with docker compose 2.40.3."""
    assert show([ps.fields(CONTAINER, NOW)], "", ps.LAYOUT) == (
        "NAME         IMAGE     COMMAND                  SERVICE   CREATED          STATUS                    PORTS\n"
        'demo-web-1   nginx     "nginx -g \'daemon of…"   web       20 seconds ago   Up 10 seconds (healthy)'
        "   0.0.0.0:8080->80/tcp\n"
    )


def test_ps_as_json_has_the_fields_of_compose() -> None:
    value = json.loads(show([ps.fields(CONTAINER, NOW)], "json", ps.LAYOUT))

    assert value == {
        "Command": '"nginx -g \'daemon of…"',
        "CreatedAt": "2023-11-14 22:14:40 +0000 UTC",
        "Engine": "",
        "ExitCode": 0,
        "Health": "healthy",
        "ID": "6ff8845d0bee",
        "Image": "nginx",
        "Labels": "a=1,b=2",
        "LocalVolumes": "1",
        "Mounts": "demo_data",
        "Name": "demo-web-1",
        "Names": "demo-web-1",
        "Networks": "demo_default",
        "Ports": "0.0.0.0:8080->80/tcp",
        "Project": "demo",
        "Publishers": [{"URL": "0.0.0.0", "TargetPort": 80, "PublishedPort": 8080, "Protocol": "tcp"}],
        "RunningFor": "20 seconds ago",
        "Service": "web",
        "Size": "0B",
        "State": "running",
        "Status": "Up 10 seconds (healthy)",
    }


def test_ps_states_are_chosen_by_either_flag() -> None:
    assert ps.wanted_states(("paused",), ("status=running",)) == {"paused", "running"}
    assert ps.wanted_states((), ()) == frozenset()


def test_ls() -> None:
    view = ProjectView(name="demo", counts=(("running", 2), ("exited", 1)), config_files=("/a/compose.yaml",))

    assert show([ls.fields(view)], "", ls.LAYOUT) == (
        "NAME                STATUS                  CONFIG FILES\n"
        "demo                exited(1), running(2)   /a/compose.yaml\n"
    )
    assert show([ls.fields(view)], "json", ls.LAYOUT) == (
        '[{"Name":"demo","Status":"exited(1), running(2)","ConfigFiles":"/a/compose.yaml"}]\n'
    )


def test_images() -> None:
    view = ImageView(
        container="demo-web-1",
        repository="busybox",
        tag="latest",
        image_id="sha256:" + "ab" * 32,
        platform="linux/amd64",
        size_bytes=1_982_326,
        created_ns=NOW - 20 * NS,
    )

    assert (
        show([images.fields(view, NOW)], "", images.LAYOUT).splitlines()[1].split("  ")[-1]
        == "20 seconds ago"
    )
    value = json.loads(show([images.fields(view, NOW)], "json", images.LAYOUT))
    assert value == [
        {
            "ContainerName": "demo-web-1",
            "Created": "2023-11-14T22:14:40Z",
            "ID": "sha256:" + "ab" * 32,
            "Platform": "linux/amd64",
            "Repository": "busybox",
            "Size": 1_982_326,
            "Tag": "latest",
        }
    ]


def test_top_is_one_table() -> None:
    """Compared with docker compose 2.40.3."""
    view = ProcessView(
        container="demo-db-1",
        service="db",
        number=1,
        uid="root",
        pid=651,
        ppid=628,
        started_ns=NOW,
        cpu_time_s=3725.9,
        command="sleep 1",
    )

    assert table.render([top.HEAD, top.row(view, NOW)], padding=2, minimum=4) == (
        "SERVICE  #   UID   PID  PPID  C   STIME  TTY  TIME      CMD\n"
        "db       1   root  651  628   0   22:15  ?    01:02:05  sleep 1\n"
    )
    assert top.row(view, NOW + 2 * 86400 * NS)[6] == "Nov14"


def test_stats() -> None:
    view = StatsView(
        container_id="a" * 64,
        container="demo-web-1",
        service="web",
        cpu_percent=12.345,
        memory_bytes=3 << 20,
        memory_limit_bytes=1 << 30,
        network_received_bytes=1500,
        pids=2,
    )

    assert show([stats.fields(view)], "", stats.LAYOUT).splitlines()[1] == (
        "aaaaaaaaaaaa   demo-web-1   12.35%    3MiB / 1GiB         0.29%     1.5kB / 0B   0B / 0B     2"
    )


def test_stats_of_a_stopped_container_are_dashes() -> None:
    view = StatsView(container_id="a" * 64, container="demo-web-1", service="web", running=False)

    assert stats.fields(view)["MemUsage"] == "-- / --"


def test_stats_have_dashes_for_what_nothing_counts() -> None:
    """As where an ordinary user has no control group, or the machine's group lacks a controller."""
    view = StatsView(
        container_id="a" * 64,
        container="demo-web-1",
        service="web",
        uncounted=("cpu", "memory", "block", "pids"),
        memory_limit_bytes=1 << 30,
        network_received_bytes=1500,
    )

    shown = stats.fields(view)
    assert [shown[name] for name in ("CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")] == [
        "--",
        "-- / 1GiB",
        "--",
        "1.5kB / 0B",
        "-- / --",
        "--",
    ]


def test_stats_are_drawn_over_the_last_ones() -> None:
    assert stats.over(["a", "b"]) == "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J"


def test_events() -> None:
    view = EventView(
        time_ns=1_700_000_000 * NS + 5_000,
        action="start",
        container_id="abc",
        service="web",
        attributes={"name": "demo-web-1", "image": "busybox"},
    )

    assert events.line(view) == (
        "2023-11-14 22:13:20.000005 container start abc (image=busybox, name=demo-web-1)"
    )
    assert events.fields(view) == {
        "time": "2023-11-14T22:13:20.000005000Z",
        "type": "container",
        "action": "start",
        "id": "abc",
        "service": "web",
        "attributes": {"name": "demo-web-1", "image": "busybox"},
    }


def test_volumes() -> None:
    view = VolumeView(name="demo_data", mountpoint="/v", labels={"a": "1"}, links=2)

    assert show([volumes.fields(view)], "", volumes.LAYOUT) == "DRIVER    VOLUME NAME\nlocal     demo_data\n"
    assert show([volumes.fields(view)], '{{.Links}} {{.Label "a"}} {{.Size}}', volumes.LAYOUT) == "2 1 N/A\n"
    keys = "Availability Driver Group Labels Links Mountpoint Name Scope Size Status"
    assert " ".join(json.loads(show([volumes.fields(view)], "json", volumes.LAYOUT))) == keys
