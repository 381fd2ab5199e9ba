"""What `network create` leaves on the disk for the time after a reboot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.client import kept_networks
from pycompose.engine.statefiles import read_json
from pycompose.networking.model import NetworkSpec, Pool

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path


def test_a_network_is_kept_until_it_is_forgotten(tmp_path: Path) -> None:
    """The directory goes with the last one: most machines have none, and every `up` looks."""
    paths = StateFiles(tmp_path).paths
    directory = paths.root / "networks"
    for name in ("front", "back"):
        kept_networks.keep(paths, NetworkSpec(name=name, project="", pools=(Pool(subnet="10.9.0.0/24"),)))
    assert sorted(path.name for path in directory.iterdir()) == ["back.json", "front.json"]
    assert read_json(directory / "front.json")["pools"] == [{"subnet": "10.9.0.0/24"}]

    kept_networks.forget(paths, "front")
    assert [path.name for path in directory.iterdir()] == ["back.json"]
    kept_networks.forget(paths, "back")
    kept_networks.forget(paths, "never was")
    assert not directory.exists()


def test_nothing_is_made_where_nothing_is_missing(tmp_path: Path) -> None:
    """Neither without kept networks, nor for one that is there, nor for a name that isn't kept."""
    paths = StateFiles(tmp_path).paths
    kept_networks.restore_all(paths)
    kept_networks.keep(paths, NetworkSpec(name="front", project=""))
    paths.network("front").parent.mkdir(parents=True)
    paths.network("front").write_text("as it is", encoding="utf-8")

    kept_networks.restore_all(paths)
    kept_networks.restore(paths, "other")

    assert paths.network("front").read_text(encoding="utf-8") == "as it is"
    assert not paths.network("other").exists()
