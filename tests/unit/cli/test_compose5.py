"""What Compose 5 does otherwise than 2.40, as far as one command shows it without containers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.cli.commands import ps
from pycompose.cli.docker_config import setting
from pycompose.cli.main import main
from pycompose.cli.options import detach_keys

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = """
services:
  web:
    image: one
    volumes: [{type: image, source: "mounted:1", target: /m}, ./here:/here]
    pre_start: [{command: x, image: "hook:2"}, {command: y}]
  built: {build: .}
  again: {image: one, pre_start: [{command: x, image: "hook:2"}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder with a project; no variable of the tests' own shell counts."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "compose.yaml").write_text(IMAGES)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PWD", str(folder))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    return folder


@pytest.mark.usefixtures("folder")
def test_images_of_mounts_and_hooks_are_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """After the services' own, of which there is one each."""
    assert main(["config", "--images"]) == 0
    assert sorted(capsys.readouterr().out.split()) == ["hook:2", "mounted:1", "one", "one", "project-built"]


@pytest.mark.parametrize("flag", ("--no-interpolate", "--variables"))
@pytest.mark.usefixtures("folder")
def test_names_that_choose_nothing_are_warned_of(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In Compose's words; without names there is nothing to say."""
    assert main(["config", flag, "web"]) == 0
    said = capsys.readouterr().err
    assert main(["config", flag]) == 0

    assert f"service filtering is not applied when {flag} is set" in said
    assert "service filtering" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", (["--env-file", "~/x.env"], ["--env-file=~/x.env"]))
def test_an_env_file_may_be_below_the_home_directory(
    folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell doesn't expand `~` in quotes, or after `=`."""
    (folder.parent / "x.env").write_text("WHERE=home\n")

    assert main([*arguments, "config", "--environment"]) == 0
    assert "WHERE=home" in capsys.readouterr().out.split()


def test_a_lock_file_has_the_images_of_services_and_mounts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hooks can't be locked, which is said. A reference with a digest asks no registry."""
    pinned = {name: f"{name}@sha256:{number:064x}" for number, name in enumerate(("one", "mounted", "hook"))}
    text = IMAGES.replace("one", pinned["one"]).replace("mounted:1", pinned["mounted"])
    (folder / "compose.yaml").write_text(
        text.replace("hook:2", pinned["hook"]).replace("  built: {build: .}\n", "")
    )

    assert main(["config", "--lock-image-digests", "--format", "json"]) == 0
    said = capsys.readouterr()
    services: dict[str, Any] = json.loads(said.out)["services"]
    assert main(["config", "--resolve-image-digests", "--format", "json"]) == 0
    web = json.loads(capsys.readouterr().out)["services"]["web"]

    assert set(services["web"]) - set(services["again"]) == {"volumes"}
    assert not {"pre_start", "networks"} & set(services["web"])
    assert [mount["source"] for mount in services["web"]["volumes"]] == [
        f"docker.io/library/{pinned['mounted']}"
    ]
    assert said.err.count("pre_start hooks can't be locked") == 2
    assert web["pre_start"][0]["image"] == f"docker.io/library/{pinned['hook']}"
    assert len(web["volumes"]) == 2


def test_docker_s_settings_are_ours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`psFormat` and `detachKeys`; a broken file, or one of other values, is passed over."""
    environment = {"HOME": str(folder.parent)}
    config = folder.parent / ".docker/config.json"
    assert setting(environment, "psFormat") == ""
    assert detach_keys(environment) == "ctrl-p,ctrl-q"

    config.parent.mkdir()
    config.write_text('{"psFormat": "{{.Names}}!", "detachKeys": "ctrl-x", "auths": {}}')
    assert detach_keys(environment) == "ctrl-x"
    assert main(["ps"]) == 0
    assert main(["ps", "--format", "table"]) == 0
    out = capsys.readouterr().out
    assert out.split()[: len(ps.LAYOUT.columns)] == [ps.LAYOUT.titles[name] for name in ps.LAYOUT.columns]

    for text in ("{", "[]", '{"detachKeys": 3}'):
        config.write_text(text)
        assert detach_keys(environment) == "ctrl-p,ctrl-q"
    assert setting({"DOCKER_CONFIG": str(folder)}, "psFormat") == ""
