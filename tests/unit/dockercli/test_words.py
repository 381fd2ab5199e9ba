"""Docker's words, and what the plugin is called with, as docker's own command line does it."""

from __future__ import annotations

import json
import os
import sys

import click
import pytest
from pycompose import entry
from pycompose.cli.commands import docker_answers
from pycompose.cli.main import cli, main
from pycompose.commands import COMMANDS
from pycompose.dockercli import plugin, words
from pycompose.machine.versions import MIN_API_VERSION
from pycompose.version import API_VERSION, ENGINE_VERSION, VERSION


@pytest.mark.parametrize(
    ("docker", "ours"),
    (
        ("ps -a", "container ls -a"),
        ("images", "image ls"),
        ("rmi x", "image rm x"),
        ("run --rm x true", "container run --rm x true"),
        ("build -t x .", "image build -t x ."),
        ("buildx build .", "image build ."),
        ("compose -f a.yaml up -d", "-f a.yaml up -d"),
        ("-D compose ls", "--debug ls"),
        ("--context default -l error ps", "container ls"),
        ("--log-level=error --host unix:///var/run/docker.sock volume ls", "volume ls"),
        ("-l debug --config /srv/docker image pull x", "--debug image pull x"),
        ("inspect x", "inspect x"),
        ("info", "system info"),
        ("help ps", "help container ls"),
        ("help", "help docker"),
        ("--version", "docker --version"),
        ("-D version -f json", "--debug docker version -f json"),
        ("context show", "docker context show"),
        ("buildx inspect --bootstrap", "docker buildx inspect --bootstrap"),
        ("buildx --help", "docker buildx --help"),
        ("", "docker --help"),
    ),
)
def test_each_is_a_command_line_of_ours(docker: str, ours: str) -> None:
    assert words.translate(docker.split()) == ours.split()


@pytest.mark.parametrize(
    "docker",
    (
        "swarm init",
        "-H tcp://there:2375 ps",
        "-H unix:///run/other.sock ps",
        "--context other ps",
        "--tlsverify ps",
        "--tlscacert x ps",
        "buildx bake",
        "context create x",
    ),
)
def test_what_nothing_here_does_is_said(docker: str) -> None:
    """It is never taken for something else, and another machine never for this one."""
    with pytest.raises(words.UnknownWord):
        words.translate(docker.split())


@pytest.mark.parametrize("ours", (*words.WORDS.values(), *words.BUILDX.values()), ids=" ".join)
def test_the_commands_exist(ours: tuple[str, ...]) -> None:
    command: click.Command | None = cli
    for word in ours:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None


@pytest.mark.parametrize("word", words.OWN)
def test_what_docker_tells_of_itself_is_answered(word: str) -> None:
    """By commands that exist under its name only."""
    command = docker_answers.answers.get_command(click.Context(docker_answers.answers), word)
    assert command is not None
    if isinstance(command, click.Group):
        assert words.OWN[word] == {*command.commands}


@pytest.mark.parametrize(
    ("typed", "printed"),
    (
        ("--version", f"Docker version {ENGINE_VERSION}, build pycompose-{VERSION}"),
        ("version -f {{.Server.APIVersion}}/{{.Client.APIVersion}}", f"{API_VERSION}/{API_VERSION}"),
        (
            "version --format {{.Server.Version}}/{{.Server.MinAPIVersion}}",
            f"{ENGINE_VERSION}/{MIN_API_VERSION}",
        ),
        ("context show", "default"),
        ("context ls -q", "default"),
        ("context ls --format {{.Name}}:{{.DockerEndpoint}}", "default:unix:///var/run/docker.sock"),
        ("context inspect default -f {{.Endpoints.docker.Host}}", "unix:///var/run/docker.sock"),
        ("context use default", "default"),
        ("buildx ls --format {{.Name}}/{{.Driver}}", "default/docker"),
    ),
)
def test_docker_tells_of_itself(typed: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docker", *typed.split()]) == 0
    assert capsys.readouterr().out == f"{printed}\n"


def test_versions_as_json_have_dockers_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """ApiVersion, whatever templates call it."""
    for typed in (["docker", "version", "-f", "json"], ["version", "-f", "{{json .}}"]):
        assert main(typed) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["Client"]["ApiVersion"] == API_VERSION
        assert "APIVersion" not in found["Server"]
    assert main(["docker", "version"]) == 0
    assert f"  API version:      {API_VERSION} (" in capsys.readouterr().out


@pytest.mark.parametrize("typed", ("context inspect other", "context use other", "buildx inspect other"))
def test_there_is_one_of_each(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docker", *typed.split()]) == 1
    assert '"other": not found' in capsys.readouterr().err


def test_metadata_is_what_docker_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    """SchemaVersion has to be 0.1.0 and Vendor not empty (docker/cli, cli-plugins/manager)."""
    assert plugin.arguments_for(["docker-cli-plugin-metadata"]) is None
    found = json.loads(capsys.readouterr().out)
    assert found["SchemaVersion"] == "0.1.0"
    assert found["Vendor"]


@pytest.mark.parametrize(
    ("called", "original", "ours"),
    (
        ("compose up -d", "docker", "docker compose up -d"),
        ("--context other compose ps", "docker", "docker --context other compose ps"),
        ("up -d", "", "up -d"),
        ("-f x.yaml ps", "", "-f x.yaml ps"),
        ("__complete compose up", "docker", "docker __complete compose up"),
    ),
)
def test_one_program_is_the_plugin_and_the_old_name(
    monkeypatch: pytest.MonkeyPatch, called: str, original: str, ours: str
) -> None:
    if original:
        monkeypatch.setenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", original)
    else:
        monkeypatch.delenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", raising=False)
    assert plugin.arguments_for(called.split()) == ours.split()


@pytest.mark.parametrize("program", ("docker", "docker-plugin"))
def test_the_folder_of_credentials_is_the_one_that_is_named(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """`--config`, before anything reads it; docker hands it to a plugin in front of the word."""
    monkeypatch.setenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "docker")
    monkeypatch.setenv("DOCKER_CONFIG", "/root/.docker")
    monkeypatch.setattr("sys.argv", ["pycompose", program, "--config", "/srv/docker", "compose", "pull"])
    assert entry._read_as_docker()
    assert sys.argv == ["pycompose", "pull"]
    assert os.environ["DOCKER_CONFIG"] == "/srv/docker"


def test_the_words_in_front_are_no_commands_of_ours() -> None:
    """Or the command line would never see them (entry.py)."""
    assert plugin.PROGRAM_WORD not in COMMANDS
    assert "compose" not in COMMANDS
