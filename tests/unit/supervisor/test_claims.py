"""Whose a name is: taken, handed on, given up, and never had by two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.engine.config import ContainerConfig, Process, RootfsTree, plain
from pycompose.engine.errors import AlreadyExists, EngineError
from pycompose.engine.paths import StatePaths
from pycompose.engine.statefiles import write_json
from pycompose.state.snapshot import owner_of
from pycompose.supervisor.runtime.claims import Claims

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "a" * 64, "b" * 64


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    """State in a folder of the test."""
    return StatePaths(root=tmp_path / "root", run=tmp_path / "run")


def there(paths: StatePaths, container_id: str, name: str) -> None:
    """Write the configuration of a container: it is more than a claim now."""
    config = ContainerConfig(
        id=container_id,
        name=name,
        project="demo",
        rootfs=(RootfsTree(lowers=("/x",)),),
        process=Process(args=("true",)),
    )
    paths.container(container_id).mkdir(parents=True)
    write_json(paths.container(container_id) / "config.json", plain(config))


def names(paths: StatePaths) -> dict[str, str]:
    """Return everything that lies beside the names, with whose it is."""
    return {item.name: owner_of(paths, item.name) for item in sorted(paths.names.iterdir())}


def test_a_name_has_one_owner_on_the_machine(paths: StatePaths) -> None:
    """Other projects included; whoever is refused leaves no claim."""
    Claims(paths, "demo").make(OLD, "db", "")
    there(paths, OLD, "db")

    with pytest.raises(AlreadyExists, match=f"the name is in use by container {OLD[:12]}"):
        Claims(paths, "other").make(NEW, "db", "")
    assert names(paths) == {"db": OLD}
    assert list(paths.project_claims("other").iterdir()) == []


def test_a_replacement_gets_the_name_of_the_one_it_replaces(paths: StatePaths) -> None:
    """And of one that never became a container: its `up` was killed."""
    claims = Claims(paths, "demo")
    claims.make(OLD, "db", "")
    there(paths, OLD, "db")
    claims.make(NEW, "db", OLD)
    claims.make("c" * 64, "half", "")
    claims.make("d" * 64, "half", "")

    assert names(paths) == {"db": NEW, "half": "d" * 64}


def test_the_old_one_gives_up_only_what_is_still_its_own(paths: StatePaths) -> None:
    """Its removal must not take the name of the new one."""
    claims = Claims(paths, "demo")
    claims.make(OLD, "db", "")
    there(paths, OLD, "db")
    claims.make(NEW, "db", OLD)
    claims.forget(OLD, "db")

    assert names(paths) == {"db": NEW}
    assert [item.name for item in paths.project_claims("demo").iterdir()] == [NEW]


def test_a_name_comes_back_when_the_replacement_goes(paths: StatePaths) -> None:
    """Unless somebody else has it by now."""
    claims = Claims(paths, "demo")
    claims.make(OLD, "db", "")
    there(paths, OLD, "db")
    claims.make(NEW, "db", OLD)
    claims.forget(NEW, "db")
    claims.keep(OLD, "db")
    assert names(paths) == {"db": OLD}

    claims.forget(OLD, "db")
    claims.make(NEW, "db", "")
    claims.keep(OLD, "db")
    assert names(paths) == {"db": NEW}


def test_a_rename_can_be_repeated(paths: StatePaths) -> None:
    """It may have been cut off anywhere; the claim says the new name."""
    claims = Claims(paths, "demo")
    claims.make(OLD, "x_db", "")
    there(paths, OLD, "x_db")
    for _ in range(2):
        claims.rename(OLD, "x_db", "db")
    claims.release(OLD, "x_db")

    assert names(paths) == {"db": OLD}
    assert claims.name(OLD) == "db"


def test_a_rename_to_somebodys_name_is_refused(paths: StatePaths) -> None:
    """Nothing has changed then."""
    claims = Claims(paths, "demo")
    for container_id, name in ((OLD, "db"), (NEW, "web")):
        claims.make(container_id, name, "")
        there(paths, container_id, name)

    with pytest.raises(AlreadyExists):
        claims.rename(NEW, "web", "db")
    assert names(paths) == {"db": OLD, "web": NEW}
    assert claims.name(NEW) == "web"


def test_a_name_that_is_too_long(paths: StatePaths) -> None:
    """The error names the container, and nothing is left."""
    with pytest.raises(EngineError, match="the name is too long"):
        Claims(paths, "demo").make(OLD, "x" * 300, "")
    assert list(paths.project_claims("demo").iterdir()) == []


def test_finding_by_name_and_by_the_beginning_of_an_id(paths: StatePaths) -> None:
    """One that fits two is nobody's, and so is everything on a new machine."""
    claims = Claims(paths, "demo")
    assert claims.find("db") == ""
    for container_id, name in ((OLD, "db"), (f"aab{'0' * 61}", "web")):
        claims.make(container_id, name, "")
        there(paths, container_id, name)

    assert (claims.find("db"), claims.find("aaa"), claims.find("aa"), claims.find("a/b")) == (
        OLD,
        OLD,
        "",
        "",
    )
