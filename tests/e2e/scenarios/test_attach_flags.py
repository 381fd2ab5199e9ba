"""`container start --attach` and `run --attach`: which streams a caller is joined to, as docker joins them."""

from __future__ import annotations

import pytest

from tests.support.scene import Scene

BOTH = ("sh", "-c", "echo out; echo err >&2; exit 7")
COPY = ("sh", "-c", "cat; exit 3")
TRAP = "trap 'echo told; exit 8' TERM; echo up; while true; do sleep 0.1; done"
STATUS = ("inspect", "-f", "{{.State.Status}}")


class TestStart:
    """`container start` with -a and -i."""

    def test_output_and_exit_code(self, scene: Scene) -> None:
        """`-a` must show both streams from the first byte, and end with the container's exit code, each time."""
        name = scene.named("made")
        scene.container("create", "--name", name, "busybox", *BOTH)
        for _ in range(2):
            result = scene.container("start", "--attach", name, code=7)
            assert (result.stdout, result.stderr) == ("out\n", "err\n")
        scene.container("start", name)
        scene.eventually(lambda: scene.container("logs", name).stdout == "out\n" * 3)

    @pytest.mark.parametrize("flags", (("-ai",), ("-i",), ("--attach", "--interactive")), ids=" ".join)
    def test_input(self, scene: Scene, flags: tuple[str, ...]) -> None:
        """`-i` must pass the input and its end, with `-a` or without."""
        name = scene.named("copy")
        scene.container("create", "-i", "--name", name, "busybox", *COPY)
        assert scene.container("start", *flags, name, stdin="text", code=3).stdout == "text"

    def test_no_input(self, scene: Scene) -> None:
        """`-a` alone must not read the input, nor end it."""
        name = scene.named("copy")
        scene.container("create", "-i", "--name", name, "busybox", "sh", "-c", "echo up; cat; echo end")
        run = scene.spawn("container", "start", "-a", name)
        run.expect("up")
        run.send("text\n")
        assert scene.container(*STATUS, name).stdout == "running\n"
        scene.container("kill", name)
        assert run.wait() == 137
        assert run.output == "up\n"

    def test_running(self, scene: Scene) -> None:
        """A container that runs must be attached to."""
        name = scene.named("runs")
        script = "trap 'echo end; exit 4' TERM; echo up; while true; do echo on; sleep 0.1; done"
        scene.container("run", "-d", "--name", name, "busybox", "sh", "-c", script)
        run = scene.spawn("container", "start", "-a", name)
        run.expect("on")
        scene.container("kill", "-s", "TERM", name)
        run.expect("end")
        assert run.wait() == 4

    def test_signal(self, scene: Scene) -> None:
        """A signal must reach the command, whose exit code must be ours."""
        name = scene.named("trap")
        scene.container("create", "--name", name, "busybox", "sh", "-c", TRAP)
        run = scene.spawn("container", "start", "-a", name)
        run.expect("up")
        run.process.terminate()
        assert run.wait() == 8
        assert "told" in run.output

    def test_terminal(self, scene: Scene) -> None:
        """With a terminal it must have the size of ours, take what is typed, and be left by the keys."""
        name = scene.named("screen")
        size = "until stty size | grep -q '24 80'; do sleep 0.05; done; echo has $(stty size)"
        script = f"{size}; read x; echo got $x; read x"
        scene.container("create", "-it", "--name", name, "busybox", "sh", "-c", script)
        run = scene.spawn("container", "start", "-ai", "--detach-keys", "ctrl-a,d", name, tty=True)
        run.expect("has 24 80")
        run.send("typed\n")
        run.expect("got typed")
        run.send("\x01d")
        assert run.wait() == 0
        assert scene.container(*STATUS, name).stdout == "running\n"

    def test_removed_at_the_end(self, scene: Scene) -> None:
        """A container of `create --rm` must be gone when `start -a` returns."""
        name = scene.named("gone")
        scene.container("create", "--rm", "--name", name, "busybox", *BOTH)
        scene.container("start", "-a", name, code=7)
        scene.eventually(lambda: scene.container("inspect", name, code=None).code == 1)

    @pytest.mark.parametrize("flag", ("-a", "-i"))
    def test_several(self, scene: Scene, flag: str) -> None:
        """Only one container must be stayed with: of two, none is started."""
        names = [scene.named("one"), scene.named("two")]
        for name in names:
            scene.container("create", "--name", name, "busybox", *BOTH)
        scene.container("start", flag, *names, code=1)
        for name in names:
            assert scene.container(*STATUS, name).stdout == "created\n"

    def test_what_cannot_be_started(self, scene: Scene) -> None:
        """A container that isn't there, or has no such command, must be 1."""
        name = scene.named("wrong")
        scene.container("start", "-a", scene.named("not-there"), code=1)
        scene.container("create", "--name", name, "busybox", "not-there")
        result = scene.container("start", "-a", name, code=1)
        assert "not-there" in result.stderr
        assert result.stdout == ""


class TestRun:
    """`container run` and `create` with -a."""

    @pytest.mark.parametrize(
        ("flags", "out", "err"),
        (
            (("-a", "stdout"), "out\n", ""),
            (("-a", "STDERR"), "", "err\n"),
            (("-a", "stdout", "-a", "stderr"), "out\n", "err\n"),
            (("--attach", "Stdin", "--attach", "stdout"), "out\n", ""),
        ),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_streams(self, scene: Scene, flags: tuple[str, ...], out: str, err: str) -> None:
        """Only the streams that are named must be shown; the exit code must be the command's, the log whole."""
        name = scene.named("some")
        result = scene.container("run", "--name", name, *flags, "busybox", *BOTH, code=7)
        assert (result.stdout, result.stderr) == (out, err)
        logs = scene.container("logs", name)
        assert (logs.stdout, logs.stderr) == ("out\n", "err\n")

    def test_input_with_one_output(self, scene: Scene) -> None:
        """`-i` must pass the input on whatever -a names."""
        command = ("busybox", "sh", "-c", "cat; echo err >&2; exit 5")
        for flags in (("-i", "-a", "stdout"), ("-i", "-a", "stdin", "-a", "stdout")):
            result = scene.container("run", "--rm", *flags, *command, stdin="text", code=5)
            assert (result.stdout, result.stderr) == ("text", "")

    def test_input_only(self, scene: Scene) -> None:
        """`-a stdin` must pass the input on, then print the id and leave the container to itself."""
        name = scene.named("fed")
        command = ("busybox", "sh", "-c", "cat; echo end; sleep 1000")
        full = scene.container("run", "-i", "-a", "stdin", "--name", name, *command, stdin="text\n").stdout
        assert full == scene.container("inspect", "-f", "{{.Id}}", name).stdout
        scene.eventually(lambda: scene.container("logs", name).stdout == "text\nend\n")
        assert scene.container(*STATUS, name).stdout == "running\n"

    def test_nothing_but_the_id(self, scene: Scene) -> None:
        """`-a stdin` of a container without an input must print the id."""
        name = scene.named("fed")
        full = scene.container("run", "-a", "stdin", "--name", name, "busybox", "sleep", "1000").stdout
        assert full == scene.container("inspect", "-f", "{{.Id}}", name).stdout

    def test_refused(self, scene: Scene) -> None:
        """Other streams, and -a with -d, must be refused before anything is made."""
        name = scene.named("never")
        scene.container("run", "-a", "bogus", "--name", name, "busybox", "true", code=125)
        scene.container("run", "-d", "-a", "stdout", "--name", name, "busybox", "true", code=1)
        scene.container("inspect", name, code=1)

    def test_create(self, scene: Scene) -> None:
        """`create -a` must be taken; `start -a` shows everything all the same."""
        name = scene.named("made")
        scene.container("create", "-a", "STDOUT", "--name", name, "busybox", *BOTH)
        result = scene.container("start", "-a", name, code=7)
        assert (result.stdout, result.stderr) == ("out\n", "err\n")

    def test_one_stream_of_a_terminal(self, scene: Scene) -> None:
        """A terminal's output is all stdout: `-t -a stderr` must show nothing, and log everything."""
        name = scene.named("screen")
        command = ("busybox", "sh", "-c", "echo out; exit 6")
        assert scene.container("run", "-t", "-a", "stderr", "--name", name, *command, code=6).stdout == ""
        assert scene.container("logs", name).stdout == "out\r\n"
