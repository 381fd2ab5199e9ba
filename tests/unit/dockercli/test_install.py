"""Scripts under docker's names: what they hold, and that nobody else's is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.cli.main import main
from pycompose.dockercli import install
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_script_runs_the_program_with_its_word(tmp_path: Path) -> None:
    path = tmp_path / "new/docker-compose"
    install.write(path, ["/opt/my tools/pycompose"], "docker-plugin", force=False)
    assert path.read_text().splitlines()[-1] == """exec '/opt/my tools/pycompose' docker-plugin "$@\""""
    assert path.stat().st_mode & 0o777 == 0o755
    install.write(path, ["/opt/other"], "docker-plugin", force=False)  # ours
    assert "/opt/other" in path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["docker-compose"]
    install.remove(path)
    assert not path.exists()


@pytest.mark.parametrize("kind", ("file", "link", "folder"))
def test_what_is_not_ours_stays(tmp_path: Path, kind: str) -> None:
    """Until `force` says that it needn't; a folder does anyway."""
    path = tmp_path / "docker"
    if kind == "file":
        path.write_bytes(b"\x7fELF\xff")
    elif kind == "link":
        path.symlink_to("nowhere")
    else:
        path.mkdir()
    with pytest.raises(PycomposeError, match="not ours"):
        install.write(path, ["p"], "docker", force=False)
    with pytest.raises(PycomposeError, match="nothing of ours"):
        install.remove(path)
    if kind == "folder":
        with pytest.raises(PycomposeError, match="cannot write"):
            install.write(path, ["p"], "docker", force=True)
        assert [entry.name for entry in tmp_path.iterdir()] == ["docker"]
    else:
        install.write(path, ["p"], "docker", force=True)
        assert install.is_ours(path)
        assert not path.is_symlink()


@pytest.mark.parametrize("name", ("docker", "docker-compose"))
def test_one_name_only(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--name` of `system shim install` and `remove`."""
    for word, left in (("install", [name]), ("remove", [])):
        assert main(["system", "shim", word, "--name", name, str(tmp_path)]) == 0
        assert capsys.readouterr().out == f"{tmp_path}/{name}\n"
        assert [entry.name for entry in tmp_path.iterdir()] == left


@pytest.mark.parametrize(
    ("environment", "folder"),
    (
        ({"DOCKER_CONFIG": "/etc/d", "HOME": "/root"}, "/etc/d/cli-plugins"),
        ({"HOME": "/root"}, "/root/.docker/cli-plugins"),
    ),
)
def test_where_docker_looks(environment: dict[str, str], folder: str) -> None:
    assert install.plugins(environment) == folder
    with pytest.raises(PycomposeError, match="HOME is not set"):
        install.plugins({})
