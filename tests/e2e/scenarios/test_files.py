"""Volumes, configs and secrets: what outlives what, and who sees whose files."""

from __future__ import annotations

import os

import pytest

from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"


def service(text: str, top: str = "") -> str:
    """Return a project with one waiting service that has `text`."""
    return f"services:\n  web:\n    image: busybox\n    command: {WAIT}\n    {text}\n{top}"


def execute(scene: Scene, script: str, name: str = "web") -> str:
    """Return what a script prints."""
    return scene.compose("exec", "-T", name, "sh", "-c", script).stdout


def test_shared_volume(scene: Scene) -> None:
    """Two services must see each other's files in the volume they share."""
    one = f"{{image: busybox, command: {WAIT}, volumes: ['data:/data']}}"
    scene.up(f"services: {{a: {one}, b: {one}}}\nvolumes: {{data: }}\n")
    execute(scene, "echo shared >/data/file", "a")
    assert execute(scene, "cat /data/file", "b") == "shared\n"
    assert scene.volume("data", "file").read_text() == "shared\n"


def test_volumes_from(scene: Scene) -> None:
    """`volumes_from` must bring the other service's mounts, of all kinds."""
    scene.up(
        f"""
services:
  a: {{image: busybox, command: {WAIT}, volumes: [/data, './shared:/shared']}}
  b: {{image: busybox, command: {WAIT}, volumes_from: [a]}}
"""
    )
    execute(scene, "echo x >/data/file", "a")
    assert execute(scene, "cat /data/file; touch /shared/y && echo written", "b") == "x\nwritten\n"
    assert execute(scene, "ls /shared", "a") == "y\n"


def test_volumes_from_read_only(scene: Scene) -> None:
    """`volumes_from: [a:ro]` must refuse to write."""
    scene.up(
        f"""
services:
  a: {{image: busybox, command: {WAIT}, volumes: [/data]}}
  b: {{image: busybox, command: {WAIT}, volumes_from: ['a:ro']}}
"""
    )
    wanted = scene.differs("volumes-from-read-only", docker="", pycompose="read-only\n")
    assert execute(scene, "touch /data/y 2>/dev/null || echo read-only", "b") == wanted


def test_subpath(scene: Scene) -> None:
    """`subpath` must mount a folder of the volume only; a missing one must fail."""
    scene.up(service("volumes: ['data:/data']", "volumes: {data: }\n"))
    execute(scene, "mkdir -p /data/a/b; echo deep >/data/a/b/file")
    part = "volumes: [{type: volume, source: data, target: /part, volume: {subpath: %s}}]"
    scene.up(service(part % "a/b", "volumes: {data: }\n"))
    assert execute(scene, "cat /part/file") == "deep\n"
    scene.up(service(part % "not/there", "volumes: {data: }\n"), code=1)


def test_content_of_a_volume_stays(scene: Scene) -> None:
    """A volume that has content must not get the image's again."""
    scene.up(service("volumes: ['data:/etc/other']", "volumes: {data: }\n"))
    assert execute(scene, "ls /etc/other") == ""
    execute(scene, "echo mine >/etc/other/file")
    scene.compose("up", "-d", "--force-recreate")
    assert execute(scene, "cat /etc/other/file") == "mine\n"


def test_volume_by_name(scene: Scene) -> None:
    """`name:` must be the volume's name, and its labels must not matter to the service."""
    scene.up(service("volumes: ['data:/data']", "volumes: {data: {name: PROJECT_other, labels: {a: b}}}\n"))
    assert scene.volumes() == {"other"}
    scene.compose("down", "-v")
    assert not scene.volumes()


def test_unused_volumes(scene: Scene) -> None:
    """A volume or network that no service uses must not be made."""
    scene.up(service("network_mode: none", "volumes: {data: }\nnetworks: {other: }\n"))
    assert not scene.volumes()
    assert not scene.networks()


@pytest.mark.parametrize("command", (("up", "-d"), ("create",)))
def test_all_resources(scene: Scene, command: tuple[str, ...]) -> None:
    """With `--all-resources` also those that nobody uses must be made, and removed again."""
    scene.file("compose.yaml", service("network_mode: none", "volumes: {data: }\nnetworks: {other: }\n"))
    scene.compose("--all-resources", *command)
    assert scene.volumes() == {"data"}
    assert scene.networks() == {"other"}
    scene.compose("--all-resources", "down", "-v")
    assert not scene.volumes()
    assert not scene.networks()


def test_missing_bind(scene: Scene) -> None:
    """A missing folder must be made, unless the long form says that it may not."""
    bind = "volumes: [{type: bind, source: ./%s, target: /x%s}]"
    assert "n0" in scene.up(service(bind % ("n0", ", bind: {create_host_path: false}")), code=1).stderr
    assert not (scene.folder / "n0").exists()
    for number, more in enumerate(("", ", read_only: true", ", bind: {create_host_path: true}"), start=1):
        scene.up(service(bind % (f"n{number}", more)))
        assert (scene.folder / f"n{number}").is_dir()


@pytest.mark.parametrize("more", ("bind: {}", "bind: {propagation: rprivate}"))
def test_missing_bind_with_other_options(scene: Scene, more: str) -> None:
    """A missing folder must be made where `bind:` doesn't speak of it, as newer versions of Compose do."""
    code = scene.differs("create-host-path", docker=1, pycompose=0)
    scene.up(service(f"volumes: [{{type: bind, source: ./not-here, target: /x, {more}}}]"), code=code)
    assert (scene.folder / "not-here").is_dir() == (code == 0)


def test_relative_to_the_file(scene: Scene) -> None:
    """Paths must be relative to the first compose file, or to `--project-directory`."""
    scene.file("sub/compose.yaml", service("volumes: ['./here:/here']"))
    scene.file("sub/here/file", "in sub\n")
    scene.file("here/file", "above\n")
    scene.compose("-p", scene.project, "-f", "sub/compose.yaml", "up", "-d")
    look = ("exec", "-T", "web", "cat", "/here/file")
    assert scene.compose("-p", scene.project, "-f", "sub/compose.yaml", *look).stdout == "in sub\n"
    arguments = ("-p", scene.project, "--project-directory", ".", "-f", "sub/compose.yaml")
    scene.compose(*arguments, "up", "-d")
    assert scene.compose(*arguments, *look).stdout == "above\n"


def test_bind_follows(scene: Scene) -> None:
    """Changes on the machine must be seen at once, in both directions."""
    scene.file("shared/file", "one\n")
    scene.up(service("volumes: ['./shared:/shared']"))
    scene.file("shared/file", "two\n")
    assert execute(scene, "cat /shared/file; echo back >/shared/back") == "two\n"
    assert scene.read("shared/back") == "back\n"


def test_writes_go_with_the_container(scene: Scene) -> None:
    """Files outside of volumes must survive `restart`, and be gone with a new container."""
    scene.up(service("labels: {a: b}"))
    execute(scene, "echo x >/file")
    scene.compose("restart")
    assert execute(scene, "cat /file") == "x\n"
    scene.compose("up", "-d", "--force-recreate")
    assert execute(scene, "test -e /file || echo gone") == "gone\n"


def test_tmpfs_is_emptied(scene: Scene) -> None:
    """A tmpfs must be empty after `restart`."""
    scene.up(service("tmpfs: /t"))
    execute(scene, "echo x >/t/file")
    scene.compose("restart")
    assert execute(scene, "ls /t") == ""


@pytest.mark.parametrize("kind", ("configs", "secrets"))
@pytest.mark.parametrize(
    "source",
    ("{file: ./not-here}", "{environment: NOT_HERE}"),
    ids=("file", "variable"),
)
def test_missing_source(stage: Scene, kind: str, source: str) -> None:
    """A config or secret whose source is missing must fail `up`."""
    stage.file("compose.yaml", service(f"{kind}: [c]", f"{kind}: {{c: {source}}}\n"))
    result = stage.compose("up", "-d", code=None)
    assert result.code != 0
    assert result.stderr


@pytest.mark.parametrize("kind", ("configs", "secrets"))
def test_undefined(stage: Scene, kind: str) -> None:
    """A config or secret that isn't defined must be refused before anything starts."""
    stage.file("compose.yaml", service(f"{kind}: [nowhere]"))
    assert "nowhere" in stage.compose("up", "-d", code=None).stderr
    assert not stage.ids()


def test_secrets_and_configs_are_as_they_are_now(scene: Scene) -> None:
    """A file must be seen as it is; what is made for a container must be made anew when it starts."""
    scene.file("sec.txt", "f1\n")
    scene.file("conf.txt", "c1\n")

    def compose(*arguments: str, value: int) -> None:
        env = {"MYSECRET": f"e{value}", "CE": f"v{value}", "DB": f"d{value}"}
        scene.compose(*arguments, env=env)

    def seen() -> list[str]:
        names = "/run/secrets/env /run/secrets/file /inline /cfile /cenv"
        return execute(scene, f"for f in {names}; do echo $(cat $f); done").split()

    scene.file(
        "compose.yaml",
        service(
            "secrets: [env, file]\n    configs: [{source: inline, target: /inline}, "
            "{source: cfile, target: /cfile}, {source: cenv, target: /cenv}]",
            "secrets: {env: {environment: MYSECRET}, file: {file: sec.txt}}\n"
            'configs: {inline: {content: "i=${DB-}\\n"}, cfile: {file: conf.txt}, cenv: {environment: CE}}\n',
        ),
    )
    compose("up", "-d", value=1)
    assert seen() == ["e1", "f1", "i=d1", "c1", "v1"]
    scene.file("sec.txt", "f2\n")
    scene.file("conf.txt", "c2\n")
    assert seen() == ["e1", "f2", "i=d1", "c2", "v1"]
    compose("up", "-d", value=2)
    assert seen() == ["e1", "f2", "i=d1", "c2", "v1"]
    compose("stop", value=2)
    compose("start", value=2)
    assert seen() == ["e2", "f2", "i=d2", "c2", "v2"]
    compose("stop", value=4)
    compose("up", "-d", value=4)
    assert seen() == ["e4", "f2", "i=d4", "c2", "v4"]
    for name, text in (("sec.txt", "f5\n"), ("conf.txt", "c5\n")):
        (scene.folder / name).unlink()
        scene.file(name, text)
    compose("restart", value=4)
    assert seen() == ["e4", "f5", "i=d4", "c5", "v4"]
    compose("up", "-d", "--force-recreate", value=4)
    assert seen() == ["e4", "f5", "i=d4", "c5", "v4"]


def test_a_restart_leaves_a_secret_as_it_is(scene: Scene) -> None:
    """`restart` must not make secrets anew, and needs no variable; `start` must have it."""
    scene.file("compose.yaml", service("secrets: [s]", "secrets: {s: {environment: MYSECRET}}\n"))
    scene.compose("up", "-d", env={"MYSECRET": "old"})
    scene.compose("restart", env={"MYSECRET": "new"})
    assert execute(scene, "cat /run/secrets/s") == "old"
    scene.compose("restart")
    assert execute(scene, "cat /run/secrets/s") == "old"
    scene.compose("stop")
    failed = scene.compose("start", code=1)
    assert 'environment variable "MYSECRET" required by secret' in failed.stderr
    scene.compose("start", env={"MYSECRET": "new"})
    assert execute(scene, "cat /run/secrets/s") == "new"


@pytest.mark.parametrize("kind", ("configs", "secrets"))
def test_owner_and_mode_of_a_file_stay(scene: Scene, kind: str) -> None:
    """A file's owner and mode must count inside as they do outside: a private one must not become readable."""
    path = scene.file("private.txt", "private\n")
    path.chmod(0o600)
    os.chown(path, 33, 44)
    scene.up(service(f"{kind}: [{{source: x, target: /x}}]", f"{kind}: {{x: {{file: ./private.txt}}}}\n"))
    assert execute(scene, "stat -c '%a %u:%g' /x; su -s /bin/sh app -c 'cat /x 2>&1' | grep -o 'denied'") == (
        "600 33:44\ndenied\n"
    )


def test_secret_follows_the_file(scene: Scene) -> None:
    """A changed file of a secret must be seen after a new `up --force-recreate`."""
    scene.file("secret.txt", "one")
    scene.up(service("secrets: [s]", "secrets: {s: {file: ./secret.txt}}\n"))
    assert execute(scene, "cat /run/secrets/s") == "one"
    scene.file("secret.txt", "two")
    scene.compose("up", "-d", "--force-recreate")
    assert execute(scene, "cat /run/secrets/s") == "two"


def test_configs_are_read_only_for_others(scene: Scene) -> None:
    """A config must be readable by a user who isn't root."""
    scene.up(service("user: app\n    configs: [c]", "configs: {c: {content: hello}}\n"))
    assert execute(scene, "cat /c") == "hello"
