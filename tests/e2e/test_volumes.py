"""Named volumes, host folders and tmpfs, from `up` to `down -v`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scenario import Host

COMPOSE = """
services:
  app:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    volumes:
      - data:/data
      - ./shared:/shared
      - ./fixed:/fixed:ro
    tmpfs: /scratch
volumes:
  data:
"""


@pytest.fixture
def project(host: Host, busybox_tar: Path) -> Path:
    """Make a project with one of each kind of mount."""
    host.run("image", "import", busybox_tar, "busybox").ok()
    return host.project({"compose.yaml": COMPOSE, "shared/in": "from the host\n", "fixed/text": "fixed\n"})


def shell(host: Host, project: Path, script: str) -> str:
    """Return what `script` prints in the app container."""
    return host.run("exec", "-T", "app", "sh", "-c", script, cwd=project).ok().stdout


def test_a_named_volume_lives_until_down_v(host: Host, project: Path) -> None:
    """`down` keeps it, `down -v` doesn't."""
    host.run("up", "-d", cwd=project).ok()
    shell(host, project, "echo kept >/data/file")
    host.run("down", cwd=project).ok()

    host.run("up", "-d", cwd=project).ok()
    assert shell(host, project, "cat /data/file") == "kept\n"
    host.run("down", "-v", cwd=project).ok()
    assert host.inside(lambda: list(host.paths.volumes.iterdir())) == []

    host.run("up", "-d", cwd=project).ok()
    assert shell(host, project, "ls /data") == ""
    host.run("down", "-v", cwd=project).ok()


def test_host_folders_are_shared_as_asked(host: Host, project: Path) -> None:
    """Both sides see each other's writes, but not through a read-only one."""
    host.run("up", "-d", cwd=project).ok()

    assert shell(host, project, "cat /shared/in; echo from inside >/shared/out") == "from the host\n"
    assert (project / "shared/out").read_text() == "from inside\n"
    assert shell(host, project, "echo x >/fixed/text || true; cat /fixed/text") == "fixed\n"

    host.run("down", "-v", cwd=project).ok()
    assert (project / "shared/out").exists()


def test_the_writable_layer_and_tmpfs_go_with_the_container(host: Host, project: Path) -> None:
    """What isn't in a volume is gone after `down`."""
    host.run("up", "-d", cwd=project).ok()
    shell(host, project, "echo x >/scratch/file; echo x >/root/file")
    assert shell(host, project, "grep ' /scratch ' /proc/mounts").startswith("tmpfs /scratch tmpfs")
    host.run("down", cwd=project).ok()

    host.run("up", "-d", cwd=project).ok()
    assert shell(host, project, "ls /scratch /root/file 2>/dev/null || true").split() == ["/scratch:"]
    host.run("down", "-v", cwd=project).ok()


def test_an_unchanged_container_is_kept_and_a_changed_one_replaced(host: Host, project: Path) -> None:
    """`up` again does nothing; with another environment it makes a new container on the same volume."""
    host.run("up", "-d", cwd=project).ok()
    shell(host, project, "echo kept >/data/file; echo x >/root/file")

    host.run("up", "-d", cwd=project).ok()
    assert shell(host, project, "ls /root") == "file\n"

    changed = COMPOSE.replace("tmpfs: /scratch", "tmpfs: /scratch\n    environment: {COLOUR: red}")
    (project / "compose.yaml").write_text(changed)
    host.run("up", "-d", cwd=project).ok()
    assert shell(host, project, "ls /root; cat /data/file; echo $COLOUR") == "kept\nred\n"
    host.run("down", "-v", cwd=project).ok()


def test_an_empty_volume_at_etc_stays_empty(busy: Host) -> None:
    """Nothing of ours is put into what a user has mounted there."""
    text = """
services:
  a:
    image: busybox
    command: [ls, -A, /etc]
    volumes: [{type: volume, source: e, target: /etc, volume: {nocopy: true}}]
volumes: {e: {}}
"""
    folder = busy.project({"compose.yaml": text})
    shown = busy.run("up", "--no-log-prefix", cwd=folder, timeout_s=60).ok().stdout
    busy.run("down", "-v", cwd=folder).ok()

    assert "mtab" not in shown
    assert "exited with code 0" in shown
