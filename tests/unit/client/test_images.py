"""Which images are wanted, and how urgently."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pycompose.client.context import Context
from pycompose.client.images import ImageNeed, interval, needs, pull, strictest
from pycompose.client.options import PullOptions, UpOptions
from pycompose.client.ready_images import ready_images
from pycompose.engine.errors import NoSuchImage
from pycompose.engine.paths import StatePaths
from pycompose.errors import ConfigError
from pycompose.events import Event
from pycompose.model import Build, Project, Service, ServiceVolume
from pycompose.units import stamp_ns


@dataclass
class Told:
    """A sink that remembers."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event, /) -> None:
        """Remember one event."""
        self.events.append(event)

    def lines(self) -> list[str]:
        """Return what was told of images."""
        return [f"{event.subject} {event.text}" for event in self.events if not event.parent]


def project(directory: Path, **services: Service) -> Project:
    """Return a project of these services."""
    return Project(name="demo", directory=str(directory), services=services)


def context(tmp_path: Path) -> tuple[Context, Told]:
    """Return a context with its own state, and what it tells."""
    told = Told()
    paths = StatePaths(root=tmp_path / "state", run=tmp_path / "run")
    return Context(paths=paths, sink=told, environment={"HOME": str(tmp_path)}), told


def test_each_distinct_image_is_needed_once(tmp_path: Path) -> None:
    """By reference and platform; mounts of images count, providers don't."""
    mount = ServiceVolume(kind="image", target="/x", source="tools")
    found = needs(
        project(
            tmp_path,
            a=Service(name="a", image="app", volumes=(mount,)),
            b=Service(name="b", image="app", pull_policy="always"),
            c=Service(name="c", image="app", platform="linux/arm64"),
            d=Service(name="d", build=Build(context=".")),
            e=Service(name="e", provider={"type": "x"}),
        ),
        ["a", "b", "c", "d", "e"],
    )

    assert found == [
        ImageNeed(reference="app", platform="", policy="always", users=("a", "b")),
        ImageNeed(reference="tools", platform="", policy="missing", users=("image:tools",)),
        ImageNeed(reference="app", platform="linux/arm64", policy="missing", users=("c",)),
        ImageNeed(reference="demo-d", platform="", policy="missing", users=("d",)),
    ]


@pytest.mark.parametrize(
    ("policies", "winner"),
    (
        (["never", "missing"], "missing"),
        (["missing", "weekly", "daily"], "daily"),
        (["daily", "every_1h"], "every_1h"),
        (["always", "every_1s"], "always"),
    ),
)
def test_the_strictest_policy_serves_all(policies: list[str], winner: str) -> None:
    """One that pulls beats one that doesn't, a shorter interval a longer one."""
    assert strictest(policies) == winner


@pytest.mark.parametrize(
    ("policy", "seconds"),
    (
        ("daily", 86_400),
        ("weekly", 604_800),
        ("every_2d12h", 216_000),
        ("every_1w3m5s", 604_985),
        ("missing", None),
    ),
)
def test_intervals(policy: str, seconds: float | None) -> None:
    """compose-spec, pull_policy: weeks, days, hours, minutes, seconds."""
    assert interval(policy) == seconds


@pytest.mark.parametrize("policy", ("every_", "every_5", "sometimes", "every", ""))
def test_unknown_policies_are_told(policy: str) -> None:
    """With what there is."""
    with pytest.raises(ConfigError, match=r"pull policy .*: unknown"):
        interval(policy)


def test_a_directory_needs_no_registry(tmp_path: Path) -> None:
    """`rootfs:` starts at the project's directory; nothing is told, nothing is pulled."""
    (tmp_path / "tree").mkdir()
    where, told = context(tmp_path)
    services = project(tmp_path, a=Service(name="a", image="rootfs:./tree", pull_policy="always"))

    images = ready_images(where, services, ["a"], UpOptions())

    assert images["a"].trees[0].lowers == (str(tmp_path / "tree"),)
    assert told.lines() == []


def test_never_is_never(tmp_path: Path) -> None:
    """A missing image with that policy is an error that says so."""
    where, told = context(tmp_path)
    services = project(tmp_path, a=Service(name="a", image="app", pull_policy="never"))

    with pytest.raises(
        NoSuchImage, match=r"^service a: image app:latest: no such image in the local store"
    ) as caught:
        ready_images(where, services, ["a"], UpOptions())

    assert caught.value.hint is not None
    assert caught.value.hint.startswith("its pull policy is never")
    assert told.lines() == []


def test_a_dry_run_pulls_nothing(tmp_path: Path) -> None:
    """It only tells."""
    where, told = context(tmp_path)
    services = project(
        tmp_path, a=Service(name="a", image="127.0.0.1:1/app"), b=Service(name="b", image="host")
    )

    pull(where, services, PullOptions(services=("a",), dry_run=True))

    assert told.lines() == ["Image 127.0.0.1:1/app Pulling", "Image 127.0.0.1:1/app Pulled"]


def test_an_archive_that_is_missing_is_told_with_its_services(tmp_path: Path) -> None:
    """Files are loaded, not pulled."""
    where, told = context(tmp_path)
    services = project(tmp_path, a=Service(name="a", image="docker-archive:none.tar"))

    with pytest.raises(NoSuchImage, match=r"^service a: image docker-archive:.*none\.tar: No such file"):
        ready_images(where, services, ["a"], UpOptions())

    assert [line.rpartition(" ")[2] for line in told.lines()] == ["Loading", "Error"]


def test_several_failures_are_told_together(tmp_path: Path) -> None:
    """One group with all of them; nothing listens on port 1."""
    where, told = context(tmp_path)
    services = project(
        tmp_path, a=Service(name="a", image="127.0.0.1:1/x"), b=Service(name="b", image="127.0.0.1:1/y")
    )

    with pytest.raises(ExceptionGroup) as caught:
        ready_images(where, services, ["a", "b"], UpOptions())

    assert [str(error).partition(":")[0] for error in caught.value.exceptions] == ["service a", "service b"]
    assert [line for line in told.lines() if line.endswith("Error")] != []


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T01:00:01.5+01:00", 1_500_000_000),
        ("1970-01-01T00:00:00.123456789Z", 123_456_789),
        ("", 0),
        ("yesterday", 0),
    ),
)
def test_stamps(text: str, expected: int) -> None:
    """RFC 3339 with nine digits, as Go writes it."""
    assert stamp_ns(text) == expected


def test_an_archive_is_loaded_when_it_is_needed(tmp_path: Path) -> None:
    """`docker-archive:` loads on the first `up`, and is there on the second."""
    import json  # noqa: PLC0415

    from pycompose.engine.images.manifest import sha256  # noqa: PLC0415

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as out:
        out.addfile(tarfile.TarInfo("f"))
    config = json.dumps(
        {"rootfs": {"diff_ids": [sha256(layer.getvalue())]}, "config": {"Cmd": ["f"]}}
    ).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l.tar"]}]).encode()
    with tarfile.open(tmp_path / "image.tar", "w") as out:
        for name, data in (("l.tar", layer.getvalue()), ("c.json", config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    where, told = context(tmp_path)
    services = project(tmp_path, a=Service(name="a", image="docker-archive:image.tar"))

    first = ready_images(where, services, ["a"], UpOptions())
    second = ready_images(where, services, ["a"], UpOptions())

    assert first == second
    assert first["a"].config.cmd == ("f",)
    assert len(told.lines()) == 2
