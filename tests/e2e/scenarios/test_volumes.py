"""Volumes that exist but aren't what the compose file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.scenarios.conftest import Keeper
    from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
PAIR = f"""
services:
  db:
    image: busybox
    command: {WAIT}
    volumes: ["data:/data"]
  web:
    image: busybox
    command: {WAIT}
volumes:
  data: {{labels: {{of: '%s'}}}}
"""
QUESTION = "exists but doesn't match configuration in compose file. Recreate (data will be lost)?"
SHARED = f"""
services: {{db: {{image: busybox, command: {WAIT}, volumes: ["data:/data"]}}}}
volumes: {{data: {{name: '%s_data'}}}}
"""


@pytest.mark.parametrize("answer", ("", "n\n"), ids=("silence", "no"))
def test_a_changed_volume_is_kept(scene: Scene, answer: str) -> None:
    """A volume whose configuration has changed must be asked about, and kept with its data unless the answer is yes."""
    scene.up(PAIR % "first")
    scene.compose("exec", "-T", "db", "touch", "/data/file")
    scene.file("compose.yaml", PAIR % "second")
    with scene.restarts():
        asked = scene.compose("up", "-d", stdin=answer)
    assert f'Volume "{scene.project}_data" {QUESTION}' in asked.stdout + asked.stderr
    assert scene.volume("data", "file").exists()


def test_a_changed_volume_is_made_anew(scene: Scene) -> None:
    """A yes must replace the volume and whoever uses it, and leave everybody else alone."""
    scene.up(PAIR % "first")
    scene.compose("exec", "-T", "db", "touch", "/data/file")
    scene.file("compose.yaml", PAIR % "second")
    with scene.replaces("db-1"):
        scene.compose("up", "-d", stdin="y\n")
    scene.expect({"db-1": "running", "web-1": "running"})
    assert not scene.volume("data", "file").exists()
    assert QUESTION not in scene.compose("up", "-d").stdout


def test_yes_to_all(scene: Scene) -> None:
    """`up -y` and `create -y` must replace a changed volume without asking."""
    scene.up(PAIR % "first")
    scene.file("compose.yaml", PAIR % "second")
    with scene.replaces("db-1"):
        result = scene.compose("up", "-d", "-y")
    assert QUESTION not in result.stdout + result.stderr
    scene.file("compose.yaml", PAIR % "third")
    with scene.replaces("db-1"):
        result = scene.compose("create", "-y")
    assert QUESTION not in result.stdout + result.stderr


def test_a_volume_of_another_project(scene: Scene, keeper: Keeper) -> None:
    """A volume that another project has made must be used, with a warning."""
    scene.up(SHARED % scene.project)
    scene.compose("exec", "-T", "db", "touch", "/data/file")
    other = keeper.scene()
    result = other.up(SHARED % scene.project)
    said = (result.stdout + result.stderr).replace('\\"', '"')
    assert (
        f'volume "{scene.project}_data" already exists but was created for project "{scene.project}"' in said
    )
    other.compose("exec", "-T", "db", "test", "-e", "/data/file")
    keeper.finish(other)


@pytest.mark.parametrize("kind", ("secret", "config"))
def test_external_files(scene: Scene, kind: str) -> None:
    """External secrets and configs must be refused by name, when a container needs them."""
    text = f"services: {{web: {{image: busybox, {kind}s: [key]}}}}\n{kind}s: {{key: {{external: true}}}}\n"
    failed = scene.up(text, code=1)
    assert f"unsupported external {kind} key" in failed.stdout + failed.stderr
