"""What the flags of `up` and `create` ask of existing containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pycompose.client import changes
from pycompose.client.options import CreateOptions, DownOptions, StartOptions, StopOptions
from pycompose.config.load import Loaded, load
from pycompose.config.options import LoadOptions
from pycompose.engine.errors import NoSuchContainer, PycomposeError
from pycompose.engine.state import Status
from pycompose.errors import UnknownService
from pycompose.policy.options import Recreate

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("flags", "own", "dependencies"),
    (
        ({}, Recreate.DIVERGED, Recreate.DIVERGED),
        ({"force_recreate": True}, Recreate.FORCE, Recreate.FORCE),
        ({"force_recreate": True, "services": ("web",)}, Recreate.FORCE, Recreate.DIVERGED),
        ({"always_recreate_deps": True, "services": ("web",)}, Recreate.DIVERGED, Recreate.FORCE),
        ({"renew_anon_volumes": True, "services": ("web",)}, Recreate.FORCE, Recreate.DIVERGED),
        ({"no_recreate": True}, Recreate.NEVER, Recreate.NEVER),
    ),
    ids=str,
)
def test_what_is_recreated(flags: dict[str, Any], own: Recreate, dependencies: Recreate) -> None:
    """Whoever forces all, forces what they depend on; whoever names a service, that one."""
    options = CreateOptions(**flags)
    assert (changes._recreate(options), changes._recreate_dependencies(options)) == (own, dependencies)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Return a project of two services, one without replicas, and one that is off."""
    text = """
    services:
      web: {image: host}
      none: {image: host, scale: 0}
      tool: {image: host, profiles: [tools]}
    """
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    return load(LoadOptions(working_dir=str(tmp_path), environment={}))


def test_starting_what_was_never_made(tmp_path: Path, loaded: Loaded) -> None:
    """One without replicas has nothing to start, and that is fine."""
    state = StateFiles(tmp_path)
    with pytest.raises(NoSuchContainer, match='service "web" has no container to start'):
        changes.start(state.context, "demo", loaded, StartOptions())
    changes.start(state.context, "demo", loaded, StartOptions(services=("none",)))
    with pytest.raises(UnknownService, match="wbe"):
        changes.start(state.context, "demo", loaded, StartOptions(services=("wbe",)))


def test_a_oneoff_is_no_container_of_its_service(tmp_path: Path, loaded: Loaded) -> None:
    state = StateFiles(tmp_path)
    state.container("web", oneoff=True, status=Status.EXITED)
    with pytest.raises(NoSuchContainer):
        changes.start(state.context, "demo", loaded, StartOptions(services=("web",)))


def test_nothing_is_asked_of_nobody(tmp_path: Path, loaded: Loaded) -> None:
    """Without containers no supervisor is started to stop them."""
    state = StateFiles(tmp_path)
    changes.stop(state.context, "demo", loaded, StopOptions())
    assert not state.paths.project_run("demo").exists()


def test_down_knows_the_services_of_the_file(tmp_path: Path, loaded: Loaded) -> None:
    with pytest.raises(UnknownService, match="wbe"):
        changes.down(StateFiles(tmp_path).context, "demo", loaded, DownOptions(services=("wbe",)))


def test_a_file_whose_services_are_all_off(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services: {tool: {image: host, profiles: [tools]}}", encoding="utf-8"
    )
    loaded = load(LoadOptions(working_dir=str(tmp_path), environment={}))
    with pytest.raises(PycomposeError, match="no service selected"):
        changes.create(StateFiles(tmp_path).context, loaded, CreateOptions())
