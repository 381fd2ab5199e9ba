"""Commands that need no containers, from argv to output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pycompose.cli import completing
from pycompose.cli.main import cli, main
from pycompose.cli.options import complete_services

from tests.support.requires import requires

COMPOSE = """
name: demo
services:
  web:
    image: "nginx:${TAG:-latest}"
    environment: {PRICE: "5$$"}
    depends_on: [db]
  db: {image: redis, volumes: ["data:/data"]}
  debug: {image: busybox, profiles: [tools]}
volumes: {data: }
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYCOMPOSE_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("PYCOMPOSE_RUN", str(tmp_path / "run"))
    for name in ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "TAG"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("argv", "lines"),
    (
        (["--services"], ["db", "web"]),
        (["--images"], ["redis", "nginx:latest"]),
        (["--volumes"], ["data"]),
        (["--networks"], ["default"]),
        (["--profiles"], ["tools"]),
        (["--models"], []),
        (["-q"], []),
    ),
)
def test_config_lists(argv: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", *argv]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(lines)


def test_config_lists_services_in_the_order_of_their_dependencies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over several files; links and the like are dependencies, a cycle (let through) is listed by name."""
    (tmp_path / "compose.yaml").write_text(
        """
services:
  app: {image: x, depends_on: [worker]}
  worker: {image: x, links: [store]}
  store: {image: x}
  alone: {image: x}
""",
        encoding="utf-8",
    )
    (tmp_path / "more.yaml").write_text("services: {store: {depends_on: [zoo]}, zoo: {image: x}}", "utf-8")
    files = ["-f", "compose.yaml", "-f", "more.yaml"]
    assert main([*files, "config", "--services"]) == 0
    assert capsys.readouterr().out.split() == ["alone", "zoo", "store", "worker", "app"]
    (tmp_path / "more.yaml").write_text("services: {store: {depends_on: [app]}}", "utf-8")
    assert main([*files, "config", "--no-consistency", "--services"]) == 0
    assert capsys.readouterr().out.split() == ["alone", "app", "store", "worker"]


def test_config_can_be_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dollar that is a value is printed twice."""
    assert main(["config", "-o", "out.yaml"]) == 0
    text = (tmp_path / "out.yaml").read_text(encoding="utf-8")
    assert "PRICE: 5$$" in text
    assert main(["-f", "out.yaml", "config"]) == 0
    assert capsys.readouterr().out == text


def test_config_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--format", "json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["services"]) == ["db", "web"]


def test_config_without_interpolation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--no-interpolate"]) == 0
    assert "image: nginx:${TAG:-latest}" in capsys.readouterr().out


def test_variables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--variables"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["NAME", "REQUIRED", "DEFAULT", "VALUE", "ALTERNATE", "VALUE"],
        ["TAG", "false", "latest"],
    ]


def test_variables_of_a_file_with_a_broken_one(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a list, not a check: what can't be read isn't in it."""
    Path("compose.yaml").write_text("services: {web: {image: '${A', command: ['${B}']}}\n", encoding="utf-8")

    assert main(["config", "--variables", "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert list(json.loads(captured.out)) == ["B"]
    assert captured.err == ""


def test_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--hash", "*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["db", "web"]
    assert all(len(line.split()[1]) == 64 for line in lines)
    assert main(["config", "--hash", "nope"]) == 1
    assert "no such service: nope" in capsys.readouterr().err


def test_errors_of_a_program_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`config --format json` is read by programs, and so are its errors."""
    Path("compose.yaml").write_text("services: {web: {imagee: x}}\n", encoding="utf-8")

    assert main(["config", "--format", "json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    error = json.loads(captured.err.splitlines()[0])
    assert error["error"] is True
    assert error["line"] == 1


def test_a_wrong_file_is_told_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    Path("compose.yaml").write_text("services:\n  web:\n    imagee: x\n", encoding="utf-8")

    assert main(["config", "-q"]) == 1
    assert capsys.readouterr().err.startswith("error: compose.yaml:3:")


def test_a_cycle_is_told_as_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    Path("compose.yaml").write_text(
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n", encoding="utf-8"
    )

    assert main(["graph"]) == 1
    assert "a -> b -> a" in capsys.readouterr().err


def test_no_file_at_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").unlink()

    assert main(["config"]) == 1
    assert "no configuration file provided" in capsys.readouterr().err


@requires("root")
def test_looking_at_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing has ever run here: empty tables, exit code 0."""
    assert main(["ps"]) == 0
    assert capsys.readouterr().out == "NAME      IMAGE     COMMAND   SERVICE   CREATED   STATUS    PORTS\n"
    assert main(["ls"]) == 0
    assert capsys.readouterr().out == "NAME                STATUS              CONFIG FILES\n"
    assert main(["-p", "other", "ps", "-q"]) == 0
    assert main(["logs"]) == 0
    assert main(["images", "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_the_graph(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph"]) == 0
    assert capsys.readouterr().out == "web\n└── db\n"


def test_completion_asks_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the shell does: through the environment."""
    monkeypatch.setenv("_PYCOMPOSE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "pycompose logs w")
    monkeypatch.setenv("COMP_CWORD", "2")

    with pytest.raises(SystemExit):
        main([])

    assert capsys.readouterr().out == "plain,web\n"


@pytest.mark.parametrize(
    ("typed", "found"),
    (
        ("pycompose up w", ["web", "worker"]),  # a disabled service, too: `run` is for them
        ("pycompose compose up w", ["web", "worker"]),
        ("pycompose docker compose run wo", ["worker"]),
        ("pycompose docker --context default compose stop we", ["web"]),
        ("pycompose docker rm", ["rm", "rmi"]),
        ("pycompose docker network rm no", ["none"]),
        ("pycompose docker image i", ["import", "inspect"]),
        ("pycompose docker context sh", ["show"]),
        ("pycompose docker buildx b", ["b", "build"]),
        ("pycompose docker version x", []),
        ("pycompose help ver", ["version"]),
        ("pycompose help volume r", ["restore", "rm"]),
        ("pycompose help up x", []),
    ),
)
def test_what_a_shell_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    found: list[str],
) -> None:
    """For our words, and docker's in front of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yaml").write_text(
        "services: {web: {image: x}, db: {image: x}, worker: {image: x, profiles: [p]}}"
    )
    monkeypatch.setenv("_PYCOMPOSE_COMPLETE", "zsh_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    monkeypatch.setattr("sys.argv", ["pycompose"])
    with pytest.raises(SystemExit):
        main()
    assert sorted(capsys.readouterr().out.split("\n")[1:-1:3]) == found


@pytest.mark.parametrize(
    ("typed", "incomplete", "words", "word"),
    (
        (["image", "rm", "app"], ":", ["image", "rm"], "app:"),
        (["image", "rm", "app", ":"], "1", ["image", "rm"], "app:1"),
        (["rm", "host", ":", "5000/x", ":"], "", ["rm"], "host:5000/x:"),
        (["rm", "a"], "b", ["rm", "a"], "b"),
        ([], "", [], ""),
    ),
)
def test_words_that_bash_takes_to_pieces(
    typed: list[str], incomplete: str, words: list[str], word: str
) -> None:
    assert completing.joined(typed, incomplete) == (words, word)


def test_bash_is_told_what_comes_behind_the_colon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The profile `a:b` of a file; what is in front of the colon stays where it is."""
    Path("compose.yaml").write_text(
        "services: {x: {image: x, profiles: ['a:b', 'a:c', d]}}", encoding="utf-8"
    )
    monkeypatch.setenv("_PYCOMPOSE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "pycompose\n--profile\na\n:\n")
    monkeypatch.setenv("COMP_CWORD", "4")
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out == "plain,b\nplain,c\n"


def test_fish_keeps_commas_of_descriptions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 0
    assert 'string split -m 1 ","' in capsys.readouterr().out


def test_what_is_missing_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion"]) == 1
    assert "Choose from: bash, zsh, fish\n" in capsys.readouterr().err


def test_completion_of_a_broken_project_is_empty() -> None:
    Path("compose.yaml").write_text(":\n -", encoding="utf-8")
    context = cli.make_context("pycompose", ["version"], obj=None, resilient_parsing=True)

    assert complete_services(context, cli.params[0], "") == []
