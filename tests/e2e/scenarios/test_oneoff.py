"""`run`, and `exec` and `attach` on terminals."""

from __future__ import annotations

import re

import pytest

from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
SIZE = "until stty size | grep -q '%s'; do sleep 0.05; done; echo has $(stty size)"
TOOL = f"""
services:
  tool:
    image: busybox
    command: [sh, -c, 'echo default']
    environment: {{A: file}}
    working_dir: /srv
    ports: ["47120:80"]
    restart: always
    container_name: PROJECT-tool
    volumes: ["/anonymous"]
    depends_on: [db]
    networks: {{default: {{aliases: [alias]}}}}
  db:
    image: busybox
    command: {WAIT}
"""


@pytest.fixture
def tool(scene: Scene) -> Scene:
    """Describe a service to run once, with a dependency."""
    scene.needs("run")
    scene.file("compose.yaml", TOOL)
    return scene


class TestFlags:
    """`run --rm` with flags, one after the other in one project."""

    @pytest.mark.parametrize(
        ("arguments", "out"),
        (
            (("tool",), "default\n"),
            (("tool", "sh", "-c", "echo $A; pwd"), "file\n/srv\n"),
            (("-e", "A=flag", "-e", "FROM_HERE", "tool", "sh", "-c", "echo $A $FROM_HERE"), "flag here\n"),
            (("-w", "/tmp", "tool", "pwd"), "/tmp\n"),
            (("-u", "app", "tool", "id", "-un"), "app\n"),
            (("--entrypoint", "echo entry", "tool", "point"), "entry point\n"),
            (("-v", "./shared:/shared", "tool", "cat", "/shared/file"), "text"),
            (("--env-from-file", "vars.env", "tool", "sh", "-c", "echo $FROM_FILE"), "file-value\n"),
            (
                ("--cap-add", "NET_ADMIN", "tool", "grep", "CapEff", "/proc/self/status"),
                "CapEff:\t00000000a80435fb\n",
            ),
            (
                ("--cap-drop", "ALL", "tool", "grep", "CapEff", "/proc/self/status"),
                "CapEff:\t0000000000000000\n",
            ),
            (("tool", "echo", "--rm", "-x"), "--rm -x\n"),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_flags(self, stage: Scene, arguments: tuple[str, ...], out: str) -> None:
        """`run` must run the service's command or another one, as its flags say, and print only its output."""
        stage.needs("run")
        stage.file("compose.yaml", TOOL)
        stage.file("shared/file", "text")
        stage.file("vars.env", "FROM_FILE=file-value\n")
        result = stage.compose("run", "--rm", "--no-deps", "-T", *arguments, env={"FROM_HERE": "here"})
        assert result.stdout == out
        assert not stage.oneoffs()

    @pytest.mark.parametrize(("script", "code"), (("exit 42", 42), ("exec not-there", 127)), ids=str)
    def test_exit_codes(self, stage: Scene, script: str, code: int) -> None:
        """`run` must end with the command's exit code."""
        stage.needs("run")
        stage.file("compose.yaml", TOOL)
        stage.compose(
            "run", "--rm", "--no-deps", "-T", "--entrypoint", "", "tool", "sh", "-c", script, code=code
        )


def test_kept(tool: Scene) -> None:
    """`run` without `--rm` must keep its container, apart from the service's, until `down --remove-orphans`."""
    tool.compose("run", "-T", "--no-deps", "tool", "sh", "-c", "exit 5", code=5)
    (kept,) = tool.oneoffs()
    assert (kept.state, kept.exit_code, kept.restarts) == ("exited", 5, 0)
    assert re.fullmatch(rf"{tool.project}-tool-run-[0-9a-f]{{12}}", kept.name)
    assert not tool.ids()
    tool.compose("down", "--remove-orphans")
    assert not tool.oneoffs()


def test_dependencies(tool: Scene) -> None:
    """`run` must start what the service depends on, and leave it running."""
    tool.compose("run", "--rm", "-T", "tool")
    tool.expect({"db-1": "running"})


def test_ports(tool: Scene) -> None:
    """`run` must publish nothing, unless asked by `--service-ports` or `-p`."""
    for flags, ports in (
        ((), {}),
        (("--service-ports",), {"80/tcp": (47120,)}),
        (("-p", "47121:81"), {"81/tcp": (47121,)}),
    ):
        tool.compose(
            "run", "-d", "--no-deps", *flags, "tool", "sh", "-c", "trap exit TERM; sleep 1000 & wait"
        )
        (made,) = tool.oneoffs()
        assert made.state == "running"
        assert dict(made.ports) == ports
        tool.compose("down", "-t", "0", "--remove-orphans")
        assert not tool.oneoffs()


def test_name(tool: Scene) -> None:
    """`run --name` must be the container's name, and `-d` must print it and go on."""
    result = tool.compose("run", "-d", "--no-deps", "--name", f"{tool.project}-mine", "tool", "sleep", "1000")
    (made,) = tool.oneoffs()
    assert made.name == f"{tool.project}-mine"
    assert result.stdout.strip() in (made.name, made.id)
    tool.compose("down", "-t", "0", "--remove-orphans")


def test_aliases(tool: Scene) -> None:
    """The service's aliases must resolve to a one-off container only with `--use-aliases`."""
    ask = ("run", "--rm", "-T", "--no-deps", "db", "timeout", "2", "nslookup", "alias")
    tool.compose("run", "-d", "--no-deps", "tool", "sleep", "1000")
    assert tool.compose(*ask, code=None).code != 0
    tool.compose("run", "-d", "--no-deps", "--use-aliases", "tool", "sleep", "1000")
    address = tool.compose(*ask).stdout
    assert any(ip in address for item in tool.oneoffs() for ip in item.addresses.values() if ip)
    tool.compose("down", "-t", "0", "--remove-orphans")


def test_stdin(tool: Scene) -> None:
    """`run -T` must pass stdin with its end."""
    out = tool.compose("run", "--rm", "-T", "--no-deps", "tool", "wc", "-c", stdin="12345").stdout
    assert out.strip() == "5"


def test_streams(tool: Scene) -> None:
    """`run -T` must keep stdout and stderr apart."""
    result = tool.compose("run", "--rm", "-T", "--no-deps", "tool", "sh", "-c", "echo out; echo err >&2")
    assert result.stdout == "out\n"
    assert "err" in result.stderr.splitlines()


def test_terminal(tool: Scene) -> None:
    """`run` on a terminal must give the command one of the same size, and pass what is typed."""
    run = tool.spawn(
        "run", "--rm", "--no-deps", "tool", "sh", "-c", f"{SIZE % '24 80'}; read x; echo got $x", tty=True
    )
    run.expect("has 24 80")
    run.send("typed\n")
    run.expect("got typed")
    assert run.wait() == 0


def test_interrupt_reaches_the_command(tool: Scene) -> None:
    """Ctrl+C in `run` on a terminal must reach the command, whose exit code must be ours."""
    script = "trap 'echo interrupted; exit 8' INT; echo up; while true; do sleep 0.1; done"
    run = tool.spawn("run", "--rm", "--no-deps", "tool", "sh", "-c", script, tty=True)
    run.expect("up")
    run.interrupt()
    run.expect("interrupted")
    assert run.wait() == 8


def test_signal_is_forwarded(tool: Scene) -> None:
    """SIGTERM to `run` must reach the command."""
    script = "trap 'echo told; exit 8' TERM; echo up; while true; do sleep 0.1; done"
    run = tool.spawn("run", "--rm", "-T", "--no-deps", "tool", "sh", "-c", script)
    run.expect("up")
    run.process.terminate()
    assert run.wait() == 8
    assert "told" in run.output


def test_unknown_service(tool: Scene) -> None:
    """`run` of a service that doesn't exist must fail with its name."""
    assert "nobody" in tool.compose("run", "--rm", "nobody", code=1).stderr


def test_ps_hides(tool: Scene) -> None:
    """`ps` must show one-off containers with `-a` only, and `logs` must leave them out."""
    tool.compose("run", "-d", "--no-deps", "tool", "sh", "-c", "echo from run; exec sleep 1000")
    text = tool.compose("ps", "-a", "--format", "json").stdout
    assert "tool-run" in text
    assert "tool-run" not in tool.compose("ps", "--format", "json").stdout
    assert "from run" not in tool.logs()
    tool.compose("down", "-t", "0", "--remove-orphans")


def test_exec_on_a_terminal(scene: Scene) -> None:
    """`exec` on a terminal must give the command one, and its size must follow."""
    scene.up(f"services: {{web: {{image: busybox, command: {WAIT}}}}}")
    shell = scene.spawn("exec", "web", "sh", "-c", f"{SIZE % '24 80'}; {SIZE % '30 100'}", tty=True)
    shell.expect("has 24 80")

    def resized() -> bool:  # nothing says when it starts to watch the size
        shell.resize(30, 99)
        shell.resize(30, 100)
        shell.sleep(0.2)
        return "has 30 100" in shell.output

    scene.eventually(resized)
    assert shell.wait() == 0


def test_attach(scene: Scene) -> None:
    """`attach` must connect to process 1, and end with its exit code."""
    scene.needs("attach")
    scene.up(
        "services: {web: {image: busybox, stdin_open: true, command: [sh, -c, 'read x; echo got $$x; exit 4']}}"
    )
    attach = scene.spawn("attach", "web")
    attach.send("word\n")
    attach.expect("got word")
    assert attach.wait() == 4


def test_attach_detaches(scene: Scene) -> None:
    """The detach keys must end `attach` and leave the service running."""
    scene.needs("attach")
    script = "while read x; do echo got $$x; done"
    scene.up(
        f"services: {{web: {{image: busybox, stdin_open: true, tty: true, command: [sh, -c, '{script}']}}}}"
    )
    attach = scene.spawn("attach", "--detach-keys", "ctrl-a,d", "web", tty=True)
    attach.send("word\n")
    attach.expect("got word")
    attach.send("\x01d")
    attach.wait()
    scene.expect({"web-1": "running"})


def test_exec_is_left(scene: Scene) -> None:
    """The detach keys must end `exec` with an error, and let the command go on."""
    scene.up(f"services: {{web: {{image: busybox, command: {WAIT}}}}}")
    running = scene.spawn(
        "exec", "web", "sh", "-c", "echo up; sleep 1; echo more; touch /on; sleep 100", tty=True
    )
    running.expect("up")
    running.send("\x10\x11")
    running.expect("read escape sequence")
    assert running.wait() == 1
    scene.compose("exec", "-T", "web", "sh", "-c", "until [ -e /on ]; do sleep 0.1; done; pidof sleep")


def test_run_is_left(scene: Scene) -> None:
    """The detach keys must end `run` with 0, and let the container go on."""
    scene.up(f"services: {{web: {{image: busybox, command: {WAIT}}}}}")
    running = scene.spawn("run", "web", "sh", "-c", "trap exit TERM; echo up; sleep 100 & wait", tty=True)
    running.expect("up")
    running.send("\x10\x11")
    assert running.wait() == 0
    (oneoff,) = scene.oneoffs()
    assert oneoff.state == "running"
