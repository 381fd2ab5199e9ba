"""The files: who may read them, what is overwritten, and that every reader reads the same."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sysconfig
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pycompose.cli.main import main
from pycompose.engine.errors import PycomposeError
from pycompose.kube.documents import MARK, File, files_of, to_yaml, write_files

from tests.unit.kube.conversion import convert_text

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
name: shop
services:
  volumes: {image: x, environment: {API_KEY: "k: 'v'"}, ports: [80], volumes: ["data:/d"]}
  kustomization: {image: x, networks: [n, default], configs: [c]}
networks: {n: }
volumes: {data: }
configs: {c: {content: "on\\n\\ttab\\n"}}
"""
VALUE = b64encode(b"k: 'v'").decode()


def kubectl() -> str:
    """Return the kubectl that the tests bring along."""
    found = shutil.which("kubectl", path=sysconfig.get_path("scripts")) or shutil.which("kubectl")
    assert found, "kubectl comes with the extra `test`"
    return found


def sorted_objects(text: str) -> list[Any]:
    """Return the documents of a stream, in an order of their own."""
    return sorted(yaml.safe_load_all(text), key=lambda item: (item["kind"], item["metadata"]["name"]))


@pytest.mark.parametrize("namespace", ("", "blue"))
def test_kustomize_builds_what_is_plain(tmp_path: Path, namespace: str) -> None:
    """`kubectl kustomize` of the files is the stream that `apply` sends."""
    conversion = convert_text(TEXT, tmp_path)
    write_files(tmp_path / "out", files_of(conversion.parts, kustomize=True, namespace=namespace))
    done = subprocess.run(
        [kubectl(), "kustomize", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    expected = sorted_objects(to_yaml(conversion.objects))
    for item in expected:
        if namespace:
            item["metadata"]["namespace"] = namespace
    assert sorted_objects(done.stdout) == expected


@given(
    st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.lists(st.text()), max_size=5)
)
def test_any_text_comes_back(item: dict[str, Any]) -> None:
    """Whatever is in a variable, a label or a file."""
    assert list(yaml.safe_load_all(to_yaml([item]))) == [item]


@pytest.mark.parametrize(
    "text",
    (
        "1e3",
        "0o14",
        "1_000",
        "0x1f",
        "yes",
        "NO",
        "~",
        "null",
        "12:30:45",
        "2001-01-01",
        ".inf",
        "=",
        "<<",
        "1.",
        "+1",
        "-",
        "text\n",
        " x",
        "x ",
        "a: b",
        "a #b",
        "\t",
        "|",
    ),
)
def test_no_reader_takes_text_for_something_else(text: str) -> None:
    """Go's readers follow YAML 1.2 in places, where Python's don't: such words stand in quotes."""
    line = to_yaml([{"k": text}]).splitlines()[1]
    assert line.startswith(('k: "', "k: |"))


def test_secrets_are_their_owners(tmp_path: Path) -> None:
    """0600, also where a file with another mode was before; the others are as usual."""
    out = tmp_path / "out"
    files = files_of(convert_text(TEXT, tmp_path).parts, kustomize=True)
    write_files(out, files)
    (out / "secrets.yaml").chmod(0o644)
    write_files(out, files)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()}
    assert modes.pop("secrets.yaml") == 0o600
    assert set(modes) == {
        "configs.yaml", "kustomization.yaml", "networks.yaml", "service-kustomization.yaml", "service-volumes.yaml",
        "volumes.yaml",
    }  # fmt: skip
    assert set(modes.values()) == {0o644}
    assert [path.name for path in out.iterdir() if VALUE in path.read_text("utf-8")] == ["secrets.yaml"]


def test_files_of_earlier_runs_go_and_those_of_others_stay(tmp_path: Path) -> None:
    """What isn't ours is neither overwritten nor removed."""
    write_files(tmp_path, [File("old.yaml", MARK), File("kept.yaml", MARK)])
    (tmp_path / "mine.yaml").write_text("a: b\n")
    assert write_files(tmp_path, [File("kept.yaml", MARK)]) == ["old.yaml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.yaml", "mine.yaml"]
    with pytest.raises(PycomposeError, match=r"mine\.yaml: wasn't written by pycompose"):
        write_files(tmp_path, [File("new.yaml", MARK), File("mine.yaml", MARK)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.yaml", "mine.yaml"]


def run(folder: Path, *words: str) -> int:
    """Run `pycompose kube` in a folder."""
    return main(["--project-directory", str(folder), "-f", str(folder / "compose.yaml"), "kube", *words])


def test_no_secret_on_standard_output_unless_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is said that something is missing."""
    (tmp_path / "compose.yaml").write_text(TEXT)
    assert run(tmp_path, "generate") == 0
    shown = capsys.readouterr()
    assert "k: 'v'" not in shown.out
    assert VALUE not in shown.out
    assert "1 Secret left out" in shown.err
    assert run(tmp_path, "generate", "--show-secrets", "--format", "json") == 0
    objects = json.loads(capsys.readouterr().out)
    assert {"API_KEY": VALUE} in [item.get("data") for item in objects]


def test_with_a_kustomization_or_plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The names of the files are printed, and what should be kept out of git is said until it is."""
    (tmp_path / "compose.yaml").write_text(TEXT)
    out = tmp_path / "out"
    assert run(tmp_path, "generate", "-o", str(out), "-n", "blue") == 0
    shown = capsys.readouterr()
    assert f"{out}/kustomization.yaml" in shown.out.splitlines()
    assert "echo secrets.yaml >>" in shown.err
    assert "namespace: blue" in (out / "kustomization.yaml").read_text()
    (out / ".gitignore").write_text("secrets.yaml\n")
    assert run(tmp_path, "generate", "-o", str(out), "--for", "plain") == 0
    shown = capsys.readouterr()
    assert "secrets" not in shown.err
    assert "kustomization.yaml: removed" in shown.err
    assert not (out / "kustomization.yaml").exists()


def test_directories_of_the_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused unless they are asked for."""
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x, volumes: ['/srv:/srv']}}\n")
    assert run(tmp_path, "generate", "--binds", "refuse") == 1
    assert run(tmp_path, "generate", "--binds", "hostpath") == 0
    assert "hostPath" in capsys.readouterr().out


def test_an_error_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that is found is said with its place; the exit code is 1."""
    (tmp_path / "compose.yaml").write_text("services: {a: {build: .}, b: {image: x, ulimits: {nofile: 1}}}\n")
    assert run(tmp_path, "generate", "-o", str(tmp_path / "out")) == 1
    said = capsys.readouterr().err
    assert "compose.yaml:1:16: services.a.build: a cluster pulls images by name" in said
    assert "warning" in said
    assert not (tmp_path / "out").exists()


def test_strict_takes_warnings_for_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it they are only said; notes never are errors, and -q leaves them out."""
    (tmp_path / "compose.yaml").write_text("services: {b: {image: x, ulimits: {nofile: 1}, init: true}}\n")
    assert run(tmp_path, "generate", "-q") == 0
    shown = capsys.readouterr()
    assert "kind: Deployment" in shown.out
    assert "note" not in shown.err
    assert run(tmp_path, "generate", "--strict") == 1
    assert capsys.readouterr().out == ""


def test_a_key_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It counts more than the file; an unknown service or key is an error with a suggestion."""
    (tmp_path / "compose.yaml").write_text(
        "services: {web: {image: x, ports: [80], x-kube: {expose: NodePort}}}\n"
    )
    assert run(tmp_path, "generate", "--set", "web.expose=LoadBalancer") == 0
    assert "type: LoadBalancer" in capsys.readouterr().out
    for words, text in (
        ("wbe.expose=x", "web"),
        ("web.expos=x", "did you mean expose"),
        ("web", "SERVICE.KEY=VALUE"),
    ):
        assert run(tmp_path, "generate", "--set", words) == 1
        assert text in capsys.readouterr().err
