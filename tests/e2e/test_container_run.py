"""Containers outside any compose file, seen from the machine: what they leave, what they survive."""

from __future__ import annotations

from tests.support.scenario import Host, eventually

WAIT = ("sh", "-c", "trap exit TERM; sleep 1000 & wait")


def ran(host: Host, *arguments: str, code: int = 0) -> str:
    """Run `container run`, return what it prints."""
    result = host.run("container", "run", *arguments).exited(code)
    assert "internal error" not in result.stderr  # or its log would be kept, and found as something left
    return result.stdout


def test_nothing_is_left(busy: Host) -> None:
    """Neither of a container that is removed, nor of one that can't be made (the fixture looks)."""
    ran(busy, "--rm", "-v", "/anonymous", "-p", "8080:80", "busybox", "true")
    for flags in (
        ("--name", "x" * 300),
        ("--network", "not-there"),
        ("--mount", "type=bind,source=/not/there,target=/x"),
        ("--cap-add", "NOTHING"),
        ("-m", "1"),
        ("--stop-signal", "NOTHING"),
        ("--cidfile", "/not/there"),
        ("--network", "container:nobody"),
    ):
        ran(busy, *flags, "busybox", "true", code=125)
    busy.run("container", "ls", "-aq").ok()
    assert busy.run("container", "ls", "-aq").stdout == ""
    assert busy.watch.wait(15) == []


def test_errors_speak_of_the_container(busy: Host) -> None:
    """Nobody has written a service: the flag is named."""
    result = busy.run("container", "run", "--name", "mine", "--cap-add", "NOTHING", "busybox", "true")
    assert "--cap-add NOTHING: unknown capability" in result.stderr


def test_what_does_nothing_is_said(busy: Host) -> None:
    """A flag without effect is accepted, as docker accepts it, with a line that says so."""
    result = busy.run("container", "run", "--rm", "--network", "host", "-p", "8080:80", "busybox", "true")
    assert "--publish has no effect with --network host" in result.ok().stderr
    assert result.stdout == ""


def test_prune(busy: Host) -> None:
    """`system prune` removes those that have ended, and the network with the last one."""
    ran(busy, "busybox", "true")
    running = ran(busy, "-d", "busybox", *WAIT).strip()
    busy.run("system", "prune", "-f").ok()
    assert busy.run("container", "ls", "-aq", "--no-trunc").stdout == f"{running}\n"
    assert any(line.startswith("link ") for line in busy.watch.find())
    busy.run("container", "rm", "-f", running).ok()
    assert busy.watch.wait(15) == []


def test_names_lead_to_them(busy: Host) -> None:
    """On the common network each is known by its name."""
    ran(busy, "-d", "--name", "server", "busybox", *WAIT)
    ran(busy, "--rm", "busybox", "nslookup", "server")
    busy.run("container", "rm", "-f", "server").ok()


def test_processes_die(busy: Host) -> None:
    """A restart policy outlives supervisor and keeper."""
    ran(busy, "-d", "--restart", "always", "--name", "steady", "busybox", *WAIT)
    for text in ("pycompose.supervisor", "keeper"):
        busy.kill(text)
        busy.run("container", "exec", "steady", "true").ok()
    before = busy.run("container", "inspect", "-f", "{{.State.StartedAt}}", "steady").ok().stdout
    busy.run("container", "exec", "steady", "sh", "-c", "kill -TERM 1")  # may die with it

    def again() -> bool:
        shown = busy.run(
            "container", "inspect", "-f", "{{.State.Status}} {{.State.StartedAt}}", "steady"
        ).stdout
        return shown.startswith("running") and before not in shown

    eventually(again)
    busy.run("container", "rm", "-f", "steady").ok()


def test_an_attached_start_survives_the_supervisor(busy: Host) -> None:
    """Output, signals and the exit code go on, with another supervisor."""
    script = "trap 'echo told; exit 8' TERM; echo up; while true; do sleep 0.1; done"
    busy.run("container", "create", "--name", "steady", "busybox", "sh", "-c", script).ok()
    run = busy.spawn("container", "start", "-a", "steady")
    run.expect("up")
    busy.kill("pycompose.supervisor")
    busy.run("container", "exec", "steady", "true").ok()
    run.process.terminate()
    run.expect("told")
    assert run.wait() == 8
    busy.run("container", "rm", "steady").ok()


def test_an_attached_start_that_fails(busy: Host) -> None:
    """What has listened to a start that failed doesn't disturb the next one."""
    folder = busy.project({"run.sh": "#!/bin/sh\necho out; exit 3\n"}, "mounted")
    mount = ("-v", f"{folder}:/mounted")
    busy.run("container", "create", "--name", "late", *mount, "busybox", "/mounted/run.sh").ok()
    for _ in range(2):
        assert "/mounted/run.sh" in busy.run("container", "start", "-a", "late").exited(1).stderr
    (folder / "run.sh").chmod(0o755)
    assert busy.run("container", "start", "-a", "late").exited(3).stdout == "out\n"
    busy.run("container", "rm", "late").ok()


def test_many_at_once(busy: Host) -> None:
    """The first ones start the supervisor together; each has a name and an address of its own."""
    running = [busy.spawn("container", "run", "-d", "busybox", *WAIT) for _ in range(6)]
    assert [each.wait() for each in running] == [0] * 6
    ids = busy.run("container", "ls", "-q").ok().stdout.split()
    assert len(ids) == 6
    addresses = busy.run(
        "container", "inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", *ids
    ).ok()
    assert len(set(addresses.stdout.split())) == 6
    busy.run("container", "rm", "-f", *ids).ok()


COMPLETED = {
    "container run busy": "busybox",
    "container run --network me": "mesh",
    "container run --health-r": "--health-retries",
    "container stop me": "metal",
    "container inspect me": "metal",
    "inspect me": "memory mesh metal",
    "volume rm me": "memory",
    "volume inspect memory me": "",
    "network inspect b": "bridge",
    "network connect mesh me": "metal",
    "image rm b": "busybox",
    "--profile ni": "nightly",
    "-p pycompose-": "",
}


def test_completion(busy: Host) -> None:
    """The shell is told names of containers, images, networks, volumes, profiles, flags; none twice."""
    folder = busy.project(
        {"compose.yaml": "services: {a: {image: busybox, profiles: [nightly]}}"}, "completed"
    )
    busy.run("network", "create", "mesh").ok()
    busy.run("volume", "create", "memory").ok()
    busy.run("container", "create", "--name", "metal", "busybox", "true").ok()
    for words, found in COMPLETED.items():
        line = f"pycompose {words}"
        env = {
            "_PYCOMPOSE_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        }
        shown = busy.run(env=env, cwd=folder).stdout.split()
        assert [text.partition(",")[2] for text in shown] == found.split(), words
    busy.run("container", "rm", "metal").ok()
    busy.run("volume", "rm", "memory").ok()
    busy.run("network", "rm", "mesh").ok()


def test_rates_of_devices(busy: Host) -> None:
    """The rates are shown, and refused for what is no block device: nothing is left of such a container."""
    flags = ("--device-read-bps", "/dev/loop0:1mb", "--device-write-iops", "/dev/loop0:9")
    ran(busy, "--name", "slow", *flags, "busybox", "true")
    shown = "{{.HostConfig.BlkioDeviceReadBps}} {{range .HostConfig.BlkioDeviceWriteIOps}}{{.Rate}}{{end}}"
    told = busy.run("container", "inspect", "-f", shown, "slow").stdout
    assert told == "[{/dev/loop0 1048576}] 9\n"
    ran(busy, "--rm", "--device-read-bps", "/dev/null:1mb", "busybox", "true", code=125)
    busy.run("container", "rm", "slow").ok()
    assert busy.run("container", "ls", "-aq").stdout == ""
