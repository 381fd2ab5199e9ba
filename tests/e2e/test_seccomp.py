"""`security_opt: seccomp=…`: where a profile comes from, and what is filtered by it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.scenario import Host

DENIED = "mkdir: can't create directory '{}': Permission denied"
COMPOSE = """
services:
  web:
    image: busybox
    command: [sh, -c, "mkdir /one; exec sleep 1000"]
    stop_signal: SIGKILL
    security_opt: [seccomp=profiles/strict.json]
    healthcheck: {test: "mkdir /probed 2>&1", interval: 100ms, retries: 1}
    post_start:
      - command: [sh, -c, "mkdir /hooked || touch /hook-was-denied"]
"""
ONE = """
services:
  web:
    image: busybox
    command: grep Seccomp_filters /proc/self/status
    security_opt: [%s]
"""


def profile(error: int, **fields: object) -> str:
    """Return a profile, with white space, that denies mkdir."""
    rules = [{"names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": error}]
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules, **fields}, indent=4) + "\n"


def test_a_profile_is_read_when_a_container_is_made_and_filters_all_that_runs_in_it(busy: Host) -> None:
    """Process 1, exec (with all capabilities too), health check, hook and `run`; later the file isn't needed."""
    folder = busy.project({"compose.yaml": COMPOSE, "profiles/strict.json": profile(13)})
    busy.run("up", "-d", cwd=folder / "profiles").ok()
    option = (
        busy.run("container", "inspect", "demo-web-1", "-f", "{{json .HostConfig.SecurityOpt}}").ok().stdout
    )
    compact = json.dumps(json.loads(profile(13)), separators=(",", ":"))
    assert json.loads(option) == [f"seccomp={compact}"]
    assert busy.run("config", cwd=folder).ok().stdout.count("seccomp=profiles/strict.json") == 1

    for flags in ((), ("--privileged",)):
        result = busy.run("exec", "-T", *flags, "web", "mkdir", "/two", cwd=folder).exited(1)
        assert DENIED.format("/two") in result.stderr
    script = "mkdir /three; until [ -e /hook-was-denied ]; do sleep 0.05; done"
    oneoff = busy.run("run", "--rm", "web", "sh", "-c", script, cwd=folder).ok()
    assert DENIED.format("/three") in oneoff.stderr
    busy.run("exec", "-T", "web", "ls", "/hook-was-denied", cwd=folder).ok()
    assert busy.run("up", "-d", "--wait", cwd=folder).exited(1).stderr.count("unhealthy")

    (folder / "profiles/strict.json").unlink()
    busy.run("restart", cwd=folder).ok()
    logs = busy.run("logs", "--no-log-prefix", cwd=folder).ok().stdout.splitlines()
    busy.run("down", cwd=folder).ok()
    assert logs == [DENIED.format("/one")] * 2


def test_another_text_in_the_file_counts_when_the_container_is_made_anew(busy: Host) -> None:
    """As with Docker Compose, where it isn't part of the hash."""
    folder = busy.project({"compose.yaml": COMPOSE, "profiles/strict.json": profile(13)})

    def said() -> str:
        return (
            busy.run("exec", "-T", "web", "mkdir", "/x", cwd=folder).exited(1).stderr.split(": ")[-1].strip()
        )

    busy.run("up", "-d", cwd=folder).ok()
    (folder / "profiles/strict.json").write_text(profile(28), encoding="utf-8")
    busy.run("up", "-d", cwd=folder).ok()
    before = said()
    busy.run("up", "-d", "--force-recreate", cwd=folder).ok()
    after = said()
    busy.run("down", cwd=folder).ok()

    assert (before, after) == ("Permission denied", "No space left on device")


@pytest.mark.parametrize(
    ("options", "filters"),
    (
        ("seccomp=unconfined", 0),
        ("seccomp:unconfined", 0),
        ("seccomp=builtin", 1),
        ("seccomp:p.json", 1),
        ("seccomp=./p.json, seccomp=unconfined", 0),
        ("seccomp=unconfined, seccomp=p.json", 1),
        ('\'seccomp={"defaultAction": "SCMP_ACT_ALLOW"}\'', 1),
    ),
)
def test_spellings(busy: Host, options: str, filters: int) -> None:
    """The last one counts; JSON may stand in the place of a file."""
    folder = busy.project({"compose.yaml": ONE % options, "p.json": profile(13)})
    shown = busy.run("up", "--no-log-prefix", cwd=folder).ok().stdout
    busy.run("down", cwd=folder).ok()

    assert re.findall(r"Seccomp_filters:\t(\d)", shown) == [str(filters)]


# Two rules that can't be had together, for containers with a capability.
CONTRADICTION = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": ["mkdir"],
            "action": f"SCMP_ACT_{action}",
            "args": [{"index": 1, "value": 0o777, "op": "SCMP_CMP_EQ"}],
            "includes": {"caps": ["CAP_SYS_ADMIN"]},
        }
        for action in ("ERRNO", "KILL")
    ],
}
WRONG = {
    "with a capability only": (
        "seccomp=p.json",
        json.dumps(CONTRADICTION),
        "seccomp profile p.json: syscalls: mkdir: two rules with the same args want different actions",
    ),
    "missing": ("seccomp=no.json", None, "cannot read seccomp profile no.json: no such file or directory"),
    "nothing": ("seccomp=", None, "seccomp without a profile"),
    "a directory": ("seccomp=.", None, r"cannot read seccomp profile \.: it is a directory"),
    "not JSON": (
        "seccomp=p.json",
        "{bad",
        "seccomp profile p.json: cannot read: line 1, column 2: Expecting property",
    ),
    "empty file": ("seccomp=p.json", "\n", "seccomp profile p.json: cannot read: it is empty"),
    "empty": ("seccomp=p.json", "{}", "seccomp profile p.json: defaultAction: missing"),
    "action": (
        "seccomp=p.json",
        profile(13, defaultAction="SCMP_ACT_FOO"),
        "seccomp profile p.json: defaultAction: unknown: 'SCMP_ACT_FOO'",
    ),
    "errno": (
        "seccomp=p.json",
        profile(70000),
        r"seccomp profile p.json: syscalls\[0\].errnoRet: 70000 is not between 0 and 4095",
    ),
    "inline": (
        "'seccomp={\"defaultAction\": 1}'",
        None,
        "seccomp profile: defaultAction: must be a text, not a number",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_profile_that_cant_be_used_is_an_error_with_its_place(busy: Host, case: str) -> None:
    """Before anything is made; `config` and `down` don't read it, as with Docker Compose."""
    option, text, reason = WRONG[case]
    files = {"compose.yaml": ONE % option, **({} if text is None else {"p.json": text})}
    folder = busy.project(files)

    for command in (("up", "-d"), ("run", "web"), ("create",)):
        stderr = busy.run(*command, cwd=folder).exited(1).stderr
        place = r"error: compose\.yaml:6:20: services\.web\.security_opt\[0\]: "
        assert re.search(place + reason, stderr), stderr
    busy.run("config", cwd=folder).ok()
    busy.run("down", cwd=folder).ok()
    assert busy.run("ps", "-aq", cwd=folder).ok().stdout == ""


def test_the_flag_of_container_run(busy: Host) -> None:
    """A file relative to the working directory, and the flag in the error."""
    folder = busy.project({"p.json": profile(13)})
    command = ("container", "run", "--rm", "--security-opt")

    denied = busy.run(*command, "seccomp=p.json", "busybox", "mkdir", "/x", cwd=folder).exited(1)
    wrong = busy.run(*command, "seccomp=q.json", "busybox", "true", cwd=folder).exited(125)

    assert DENIED.format("/x") in denied.stderr
    assert wrong.stderr.startswith(
        "error: --security-opt seccomp=q.json: cannot read seccomp profile q.json: no such file or directory"
    )
