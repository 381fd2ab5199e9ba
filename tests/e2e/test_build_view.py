"""What is seen of a build: why steps were made, plain lines, BuildKit's records, a live view, a table."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import textwrap
from typing import TYPE_CHECKING

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.scenario import Host

COMPOSE = "services:\n  web:\n    build: {context: ., args: {A: '${A:-1}'}}\n    image: built\n"
DOCKERFILE = """\
    FROM busybox AS base
    RUN echo first >/first
    FROM base AS app
    ARG A
    COPY src /src
    RUN --mount=type=bind,source=side,target=/side cat /src/f /side/g >/out
    FROM busybox
    COPY --from=app /out /out
    """


def project(host: Host) -> Path:
    """Make a project with three stages, two folders and an argument."""
    texts = {"compose.yaml": COMPOSE, "Dockerfile": textwrap.dedent(DOCKERFILE)}
    return host.project({**texts, "src/f": "f\n", "src/other": "o\n", "side/g": "g\n"})


def explained(host: Host, folder: Path, *flags: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Build with --explain; return step → reason."""
    done = host.run("build", "--explain", *flags, cwd=folder, env=env).ok()
    lines = [line for line in done.stderr.splitlines() if re.match(r"\[.* \d+/\d+\] ", line)]
    return dict(line.split(": ", 1) for line in lines)


def test_why_steps_are_made(busy: Host) -> None:
    """Each reason, seen from the command: files, modes, arguments, stages, a base, the cache's absence."""
    folder = project(busy)
    run = "[web app 2/2] RUN --mount=type=bind,source=side,target=/side cat /src/f /side/g >/out"
    copy = "[web app 1/2] COPY src /src"
    last = "[web stage-2 2/2] COPY --from=app /out /out"
    first = explained(busy, folder)
    assert list(first) == ["[web base 2/2] RUN echo first >/first", copy, run, last]
    assert set(first.values()) == {"never built before"}
    assert explained(busy, folder) == {}

    (folder / "src/f").write_text("changed\n", encoding="ascii")
    os.chmod(folder / "src/other", 0o600)
    again = explained(busy, folder)
    assert (
        again[copy] == f"src/f changed ({_digest('f')} -> {_digest('changed')}); src/other: mode 644 -> 600"
    )
    assert again[run] == "follows COPY src /src, which was made anew"
    assert again[last] == f"out changed ({_digest('f', 'g')} -> {_digest('changed', 'g')})"

    (folder / "side/g").write_text("G\n", encoding="ascii")
    assert (
        explained(busy, folder)[run]
        == f"the mount at /side: side/g changed ({_digest('g')} -> {_digest('G')})"
    )
    assert explained(busy, folder, env={"A": "2"})[run] == "ARG A changed (1 -> 2)"
    off = explained(busy, folder, "--no-cache", env={"A": "2"})
    assert set(off.values()) == {"the cache is off (--no-cache)"}
    assert len(off) == 4


def test_why_after_an_edit_a_failure_and_a_prune(busy: Host) -> None:
    """The instruction was another one; it failed last time; its layer has been removed; the base image moved."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN echo one >/one\n"})

    def build(text: str, *flags: str) -> str:
        (folder / "Dockerfile").write_text(text, encoding="ascii")
        done = busy.run("image", "build", "-t", "it", "--explain", "-q", *flags, ".", cwd=folder)
        return done.stderr

    build("FROM busybox\nRUN echo one >/one\n")
    assert "[2/2] RUN exit 7: the instruction changed, it was: RUN echo one >/one\n" in build(
        "FROM busybox\nRUN exit 7\n"
    )
    assert "[2/2] RUN exit 7: it failed last time\n" in build("FROM busybox\nRUN exit 7\n")
    build("FROM busybox\nRUN echo two >/two\n")
    busy.run("image", "rm", "-f", "it").ok()
    for key in busy.inside(lambda: [str(path) for path in (busy.paths.builder / "records").iterdir()]):
        busy.inside(lambda key=key: os.unlink(key))  # type: ignore[misc]
    assert "RUN echo two >/two: its layer is not in the cache any more\n" in build(
        "FROM busybox\nRUN echo two >/two\n"
    )
    busy.run("image", "tag", "it", "busybox").ok()
    assert re.search(
        r"RUN echo two >/two: base image busybox changed \([0-9a-f]{12} -> [0-9a-f]{12}\)\n",
        build("FROM busybox\nRUN echo two >/two\n"),
    )
    filtered = build("FROM busybox AS x\nRUN echo two >/two\n", "--no-cache-filter", "x")
    assert "[x 2/2] RUN echo two >/two: the cache is off (--no-cache-filter)\n" in filtered


def test_plain_lines(busy: Host) -> None:
    """BuildKit's: numbers, `FROM` counted, output with its time; ours: the reason of what is made."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN printf 'a\\nb'; echo err >&2\nWORKDIR /x\n"})
    done = busy.run("image", "build", ".", cwd=folder).ok()
    lines = [re.sub(r"\d\.\d+s?", "TIME", line) for line in done.stderr.splitlines()]

    assert lines[0] == " Image without a name Building"
    assert lines[1:17] == [
        '#0 building with "default" instance using pycompose driver',
        "",
        "#1 [internal] load build definition from Dockerfile",
        "#1 transferring dockerfile: 56B done",
        "#1 DONE TIME",
        "",
        "#2 [internal] load metadata for docker.io/library/busybox:latest",
        "#2 DONE TIME",
        "",
        "#3 [internal] load .dockerignore",
        "#3 transferring context: 0B done",
        "#3 DONE TIME",
        "",
        "#4 [1/3] FROM docker.io/library/busybox:latest",
        "#4 DONE TIME",
        "",
    ]
    assert lines[17] == "#5 [2/3] RUN printf 'a\\nb'; echo err >&2"
    # Two pipes: which of them is read first is nobody's promise.
    assert sorted(lines[18:21]) == ["#5 TIME a", "#5 TIME b", "#5 TIME err"]
    assert [re.sub("[0-9a-f]{64}", "ID", line) for line in lines[21:]] == [
        "#5 DONE TIME",
        "",
        "#6 [3/3] WORKDIR /x",
        "#6 DONE TIME",
        "",
        "#7 exporting to image",
        "#7 exporting layers done",
        "#7 writing image sha256:ID done",
        "#7 DONE TIME",
        " Image without a name Built",
    ]
    again = busy.run("image", "build", "--progress", "plain", "-t", "it", ".", cwd=folder).ok()
    assert "because" not in again.stderr
    assert again.stderr.count("CACHED") == 2
    assert "naming to docker.io/library/it done" in again.stderr


def test_plain_lines_of_services(busy: Host) -> None:
    """On standard output, as Compose's: with their names; a base image is one; why a step is made again."""
    text = "FROM busybox AS one\nRUN echo 1 >/f\nFROM busybox\nCOPY --from=one /f /f\n"
    files = {"a/Dockerfile": text, "b/Dockerfile": text, "b/f": ""}
    compose = "services: {a: {build: a}, b: {build: b, image: 'x.example/b:latest'}}\n"
    folder = busy.project({"compose.yaml": compose, **files})
    first = busy.run("build", "a", cwd=folder).ok()
    lines = first.stdout.splitlines()

    assert "#4 [a one 1/2] FROM docker.io/library/busybox:latest" in lines
    assert "#6 [a stage-1 2/2] COPY --from=one /f /f" in lines
    assert "#7 [a] exporting to image" in lines
    assert "#7 naming to docker.io/library/demo-a done" in lines
    assert first.stderr == " Image demo-a Building\n Image demo-a Built\n"
    (folder / "b/Dockerfile").write_text(text.replace("echo 1", "echo 2"), encoding="ascii")
    both = busy.run("build", cwd=folder).ok().stdout
    (number,) = {line.split()[0] for line in both.splitlines() if "FROM docker.io/" in line}
    assert both.count(f"{number} [") == 2, "each service shows it, under one number"
    assert "naming to x.example/b:latest done" in both
    assert "because" not in both
    (folder / "b/Dockerfile").write_text(text.replace("echo 1", "echo 3"), encoding="ascii")
    on_terminal = busy.run("--progress", "tty", "build", "b", cwd=folder).ok()
    assert "because: the instruction changed, it was: RUN echo 2 >/f" in on_terminal.stdout
    assert "#5 [b one 2/2]" not in on_terminal.stderr


def test_services_that_build_the_same(busy: Host) -> None:
    """They are built once, each is an image with its own labels and names; the next build of one alone says why."""
    services = "".join(
        f"  s{number}: {{build: {{context: ., labels: {{n: s{number}}}}}}}\n" for number in range(4)
    )
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN head -c 9 /dev/urandom >/f\n"})
    (folder / "compose.yaml").write_text(f"services:\n{services}", encoding="ascii")
    done = busy.run("build", "--no-cache", cwd=folder).ok().stdout

    assert done.count("] RUN head") == 1
    assert sorted(re.findall(r"naming to docker.io/library/(\S+)", done)) == [f"demo-s{n}" for n in range(4)]
    shown = busy.run("image", "inspect", *(f"demo-s{number}" for number in range(4))).ok().json()
    assert [image["Config"]["Labels"]["n"] for image in shown] == ["s0", "s1", "s2", "s3"]
    assert len({image["RootFS"]["Layers"][-1] for image in shown}) == 1
    (folder / "Dockerfile").write_text("FROM busybox\nRUN head -c 8 /dev/urandom >/f\n", encoding="ascii")
    again = busy.run("build", "s2", cwd=folder).ok().stdout
    assert "because: the instruction changed, it was: RUN head -c 9 /dev/urandom >/f" in again
    (folder / "Dockerfile").write_text("FROM busybox\nRUN exit 3\n", encoding="ascii")
    failed = busy.run("build", cwd=folder).exited(1).stderr
    assert failed.count(" Error Dockerfile:2") == 1
    assert failed.count(" Canceled") == 3


def test_records_of_buildkit(busy: Host) -> None:
    """`--progress rawjson`: a SolveStatus a line: vertexes with their times, output in base64, errors."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN echo said\nRUN echo why >&2; exit 3\n"})
    done = busy.run("image", "build", "--progress", "rawjson", ".", cwd=folder)
    records = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    vertexes = [vertex for record in records for vertex in record.get("vertexes", ())]
    logs = [log for record in records for log in record.get("logs", ())]

    names = {vertex["digest"]: vertex["name"] for vertex in vertexes}
    assert list(names.values()) == [
        "[internal] load build definition from Dockerfile",
        "[internal] load metadata for docker.io/library/busybox:latest",
        "[internal] load .dockerignore",
        "[1/3] FROM docker.io/library/busybox:latest",
        "[2/3] RUN echo said",
        "[3/3] RUN echo why >&2; exit 3",
    ]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in names)
    (begun, ended) = [vertex for vertex in vertexes if vertex["name"] == "[2/3] RUN echo said"]
    assert "completed" not in begun
    assert begun["started"] == ended["started"] < ended["completed"]
    assert "exit code: 3" in vertexes[-1]["error"]
    assert [(base64.b64decode(log["data"]), log["stream"]) for log in logs] == [(b"said\n", 1), (b"why\n", 2)]
    statuses = [status for record in records for status in record.get("statuses", ())]
    assert [(status["id"], names[status["vertex"]]) for status in statuses] == [
        ("transferring dockerfile: 52B", "[internal] load build definition from Dockerfile"),
        ("transferring context: 0B", "[internal] load .dockerignore"),
    ]
    again = busy.run("image", "build", "--progress", "rawjson", ".", cwd=folder)
    assert '"cached":true' in again.stderr


def test_a_table_of_all_steps(busy: Host) -> None:
    """`-v`: step, time, cached, size; also when the build has failed."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN echo 12345 >/f\nRUN exit 1\n"})
    (folder / "compose.yaml").write_text("services: {web: {build: .}}\n", encoding="ascii")
    done = busy.run("build", "-q", "-v", cwd=folder)
    again = busy.run("build", "-q", "-v", cwd=folder)

    rows = [re.split(r" {2,}", line) for line in done.stderr.splitlines()]
    at = rows.index(["STEP", "TIME", "CACHED", "SIZE"])
    assert [(row[0], *row[2:]) for row in rows[at + 1 : at + 4]] == [
        ("[web 1/3] FROM docker.io/library/busybox:latest", "-", "-"),
        ("[web 2/3] RUN echo 12345 >/f", "no", "6B"),
        ("[web 3/3] RUN exit 1", "failed", "-"),
    ]
    assert re.search(r"\[web 2/3\] RUN echo 12345 >/f +0\.\ds +yes +6B", again.stderr)


def test_the_live_view_shows_steps(busy: Host) -> None:
    """On a terminal: rows that are redrawn, cached ones marked, all of them left at the end."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN echo one\n"})
    (folder / "compose.yaml").write_text("services: {web: {build: .}}\n", encoding="ascii")
    busy.run("build", cwd=folder).ok()
    # The arithmetic tells the command lines of the shell and of what it waits for apart.
    step = "RUN sleep $((999 + 1)); echo 2"
    (folder / "Dockerfile").write_text(f"FROM busybox\nRUN echo one\n{step}\n", encoding="ascii")
    running = busy.spawn("build", cwd=folder, tty=True)
    running.expect(rf"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] \[web 3/3\] {re.escape(step)}")
    (waiting,) = eventually(lambda: busy.processes("sleep 1000"))
    os.kill(waiting, signal.SIGTERM)
    assert running.wait(40) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", running.transcript())
    last = text[text.rindex("[+] build") :]

    assert "[+] build 1/1" in last
    assert re.search(r"✔ \[web 2/3\] RUN echo one +CACHED +\d+\.\ds", last)
    assert re.search(rf"✔ \[web 3/3\] {re.escape(step)} +\d+\.\ds", last)
    assert "#1" not in text


def _digest(*lines: str) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:12]


def test_a_shell_where_a_step_has_failed(busy: Host) -> None:
    """Its files, environment, mounts and user are there; the build ends as it would have, and nothing is left."""
    text = (
        "FROM busybox\nENV A=b\nWORKDIR /work\nRUN --mount=type=secret,id=s --mount=type=cache,target=/c "
        "echo half >done; echo kept >/c/x; exit 3\n"
    )
    folder = busy.project({"Dockerfile": text, "secret": "swordfish"})
    running = busy.spawn(
        "image", "build", "--debug-shell", "--secret", "id=s,src=secret", ".", cwd=folder, tty=True
    )
    running.expect("a shell where it has failed")
    running.expect(r"[#$] ")
    running.send("echo $A-$PWD-$(cat done /c/x /run/secrets/s)-$(stty size); exit\n")
    running.expect("b-/work-half kept swordfish-24 80")
    assert running.wait(20) == 1
    assert "exit code: 3" in running.transcript()


def test_a_shell_needs_a_terminal(busy: Host) -> None:
    """Without one nothing is built."""
    folder = busy.project(
        {"compose.yaml": "services: {a: {build: .}}", "Dockerfile": "FROM busybox\nRUN false\n"}
    )
    for command in (("build",), ("image", "build", ".")):
        done = busy.run(*command, "--debug-shell", cwd=folder)
        assert done.code == 1
        assert "--debug-shell: standard input and output are no terminal" in done.stderr
        assert "RUN" not in done.stderr
