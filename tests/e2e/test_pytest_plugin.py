"""The pytest plugin: pytest runs of a project that uses it, on a private machine."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host, Result

KILLS = int(os.environ.get("PYCOMPOSE_STACK_KILLS", "3"))
COMPOSE = """
name: shop
services:
  db:
    image: busybox
    container_name: the-db
    command: [sh, -c, "echo db is up; exec httpd -f -p 80 -h /data"]
    ports: ["8080:80"]
    volumes: ["data:/data"]
  cache: {image: busybox, command: [sleep, inf]}
  extra: {image: busybox, command: [sleep, inf], profiles: [more]}
volumes: {data: {}}
"""


@pytest.fixture
def suite(busy: Host) -> Path:
    """Return a project folder to put tests into."""
    return busy.project(
        {"compose.yaml": COMPOSE, "pytest.ini": "[pytest]\npycompose_files = compose.yaml\n"}, "suite"
    )


def run(host: Host, folder: Path, text: str, *options: str, code: int = 0, conftest: str = "") -> Result:
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *options]
    return host.command(argv, cwd=folder, timeout_s=90, env={"PYTHONDONTWRITEBYTECODE": "1"}).exited(code)


def nothing_left(host: Host) -> None:
    assert host.run("ls", "-a", "-q").ok().stdout == ""
    assert host.run("volume", "ls", "-q").ok().stdout == ""


def test_a_failure_shows_what_was_written_meanwhile(busy: Host, suite: Path) -> None:
    found = run(
        busy,
        suite,
        """
from pycompose.testing import tcp
def say(compose, text):
    compose["db"].exec("sh", "-c", f"echo {text} > /proc/1/fd/1", check=True)
def test_good(compose):
    assert set(compose.running) == {"db", "cache"}
    compose["db"].wait_for(tcp(80))
    say(compose, "before")
def test_bad(compose):
    say(compose, "during")
    assert 0
""",
        code=1,
    )
    assert "1 failed, 1 passed" in found.stdout
    section = found.stdout.split("compose logs of shop-")[1]
    assert "db-1 | during" in section
    assert "before" not in section
    assert "compose: slowest to be ready" in found.stdout
    nothing_left(busy)


def test_scopes_may_be_mixed_in_one_file(busy: Host, suite: Path) -> None:
    run(
        busy,
        suite,
        """
import pytest
NAMES = {}
def same(key, stack):
    assert NAMES.setdefault(key, stack.name) == stack.name
def test_session(compose): same("session", compose)
def test_module(module_stack): same("module", module_stack); assert module_stack.running == ("db",)
def test_module_again(module_stack): same("module", module_stack)
def test_function(function_stack): NAMES["function"] = function_stack.name
def test_function_again(function_stack): assert function_stack.name != NAMES["function"]
class TestClass:
    def test_a(self, compose_project): same("class", compose_project("compose.yaml", services=["cache"], scope="class"))
    def test_b(self, compose_project): same("class", compose_project("compose.yaml", services=["cache"], scope="class"))
def test_own(compose_project):
    one, two = (compose_project(services=["cache"]) for _ in range(2))
    assert one.name != two.name
def test_all_are_different(): assert len(set(NAMES.values())) == len(NAMES) == 4
""",
        conftest="""
from pycompose.testing import compose_fixture
module_stack = compose_fixture("compose.yaml", services=["db"], scope="module")
function_stack = compose_fixture("compose.yaml", services=["db"], scope="function")
""",
    )
    nothing_left(busy)


def test_markers_say_what_a_test_needs(busy: Host, suite: Path) -> None:
    run(
        busy,
        suite,
        """
import pytest
@pytest.mark.compose(services=["db"])
def test_first(compose): assert compose.running == ("db",)
@pytest.mark.compose(services=["extra"], profiles=["more"])
def test_more(compose): assert set(compose.running) == {"db", "extra"}
@pytest.mark.compose(services=["db"], reset="snapshot")
def test_change(compose): compose["db"].exec("touch", "/data/x", "/x", check=True)
@pytest.mark.compose(services=["db"], reset="snapshot")
def test_changed(compose): assert not compose["db"].exists("/data/x") and not compose["db"].exists("/x")
def test_rest(compose): assert set(compose.running) == {"db", "extra", "cache"}
""",
    )
    nothing_left(busy)


def test_what_a_test_breaks_is_mended_before_the_next(busy: Host, suite: Path) -> None:
    """What a fixture has broken is the fixture's."""
    run(
        busy,
        suite,
        """
import pytest
@pytest.fixture(scope="module")
def frozen(compose):
    with compose["cache"].freeze(): yield
def states(compose): return [compose[name].container().state for name in ("db", "cache")]
def test_break(compose, frozen):
    compose["db"].freeze()
    assert states(compose) == ["paused", "paused"]
@pytest.mark.compose(services=["db"])
def test_next(compose, frozen): assert states(compose) == ["running", "paused"]
""",
    )
    nothing_left(busy)


def test_a_stack_that_does_not_start_is_no_traceback(busy: Host, suite: Path) -> None:
    (suite / "compose.yaml").write_text(
        "services:\n  db:\n    image: busybox\n    command: [sh, -c, 'echo why; exit 3']\n"
        "    healthcheck: {test: 'false', interval: 1s}\n"
    )
    found = run(busy, suite, "def test_it(compose): pass\n", code=1)
    assert "db: exited, exit code 3" in found.stdout
    assert re.search(r"db-1 \| why", found.stdout)
    assert "stack.py" not in found.stdout
    nothing_left(busy)


def test_stacks_of_failures_are_kept_for_a_look(busy: Host, suite: Path) -> None:
    found = run(
        busy,
        suite,
        "def test_good(compose_project): compose_project(services=['cache'])\n"
        "def test_bad(compose_project): compose_project(services=['db']); assert 0\n",
        "--pycompose-keep=failed",
        code=1,
    )
    (kept,) = busy.run("ls", "-a", "-q").ok().stdout.split()
    assert f"pycompose -p {kept} logs" in found.stdout
    assert busy.run("-p", kept, "ps", "-q").ok().stdout
    busy.run("gc", "--kept").ok()
    nothing_left(busy)


def test_the_next_run_reuses_what_has_not_changed(busy: Host, suite: Path) -> None:
    text = "def test_it(compose): open('ids', 'a').write(compose['db'].container().id + '\\n')\n"
    for _ in range(2):
        run(busy, suite, text, "--pycompose-reuse")
    (suite / "compose.yaml").write_text(COMPOSE.replace("echo db is up", "echo changed"))
    run(busy, suite, text, "--pycompose-reuse")
    first, second, third = (suite / "ids").read_text().split()
    assert first == second != third
    busy.run("gc", "--kept").ok()
    nothing_left(busy)


@pytest.mark.parametrize("reset", ("snapshot", "recreate"))
def test_a_stack_to_reuse_is_put_back_for_the_first_test_too(busy: Host, suite: Path, reset: str) -> None:
    text = (
        "def test_it(compose):\n    db = compose['db']\n"
        "    assert not db.exists('/data/x')\n    db.exec('touch', '/data/x', check=True)\n"
        "    open('ids', 'a').write(db.container().id + '\\n')\n"
    )
    run(busy, suite, text.replace("    assert", "    0 and"), "--pycompose-reuse")  # without a reset
    (suite / "pytest.ini").write_text(
        f"[pytest]\npycompose_files = compose.yaml\npycompose_reset = {reset}\n"
    )
    for _ in range(2):
        run(busy, suite, text, "--pycompose-reuse")
    (suite / "compose.yaml").write_text(COMPOSE.replace("echo db is up", "echo changed"))
    run(busy, suite, text, "--pycompose-reuse")
    ids = (suite / "ids").read_text().split()
    assert (ids[1] == ids[2]) == (reset == "snapshot")
    assert ids[3] != ids[2]
    busy.run("gc", "--kept").ok()
    nothing_left(busy)


def test_a_stack_that_others_use_is_not_put_back_under_them(busy: Host, suite: Path) -> None:
    settings = "pycompose_files = compose.yaml\npycompose_shared = true\npycompose_reset = restart\n"
    (suite / "pytest.ini").write_text(f"[pytest]\n{settings}")
    found = run(busy, suite, "def test_it(compose): pass\n", "-n", "2", code=1)
    assert "reset 'restart': the stack is shared" in found.stdout
    run(busy, suite, "def test_it(compose): pass\n")
    nothing_left(busy)


def test_what_is_mistyped_comes_with_what_there_is(busy: Host, suite: Path) -> None:
    text = "def test_it(compose): compose['bd']\ndef test_part(compose): compose.partition('db', 'cash')\n"
    found = run(busy, suite, text, code=1)
    assert "hint: services: cache, db, extra" in found.stdout
    assert "no such service: cash" in found.stdout
    assert 'did you mean "cache"?' in found.stdout


def test_workers_have_stacks_of_their_own_or_share_one(busy: Host, suite: Path) -> None:
    text = """
import pytest
@pytest.mark.parametrize("number", range(6))
def test_it(compose, number):
    open("names", "a").write(compose.name + "\\n")
    compose["db"].exec("touch", f"/data/{number}", check=True)
"""
    report = suite / "report.json"
    run(busy, suite, text, "-n", "2", f"--pycompose-report={report}", "--junit-xml=junit.xml")
    names = set((suite / "names").read_text().split())
    assert {name.split("-")[1] for name in names} == {"gw0", "gw1"}
    assert {stack["name"] for stack in json.loads(report.read_text())["stacks"]} == names
    service = json.loads(report.read_text())["stacks"][0]["services"]["db"]
    assert service["ready_s"] >= service["started_s"] >= service["created_s"] > 0
    assert "pycompose.stack" in (suite / "junit.xml").read_text()
    (suite / "names").unlink()
    (suite / "pytest.ini").write_text("[pytest]\npycompose_files = compose.yaml\npycompose_shared = true\n")
    run(busy, suite, text, "-n", "2")
    (name,) = set((suite / "names").read_text().split())
    assert name.startswith("shop-shared-")
    nothing_left(busy)


def test_a_shared_stack_outlives_a_worker_that_is_killed(busy: Host, suite: Path) -> None:
    """And what is built is built once for all."""
    (suite / "Dockerfile").write_text(
        "FROM busybox\nRUN head -c 8 /dev/urandom | md5sum > /id\n", encoding="utf-8"
    )
    (suite / "compose.yaml").write_text(
        "services: {app: {build: ., command: [sleep, inf]}}\n", encoding="utf-8"
    )
    (suite / "pytest.ini").write_text("[pytest]\npycompose_files = compose.yaml\npycompose_shared = true\n")
    text = """
import os, pytest, signal
@pytest.mark.parametrize("number", range(8))
def test_it(compose, number):
    with open("seen", "a") as seen:
        seen.write(f"{compose.name} {compose['app'].exec('cat', '/id', check=True).text.split()[0]}\\n")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    found = run(busy, suite, text, "-n", "2", code=1)
    assert "1 failed, 7 passed" in found.stdout
    seen = (suite / "seen").read_text().splitlines()
    assert len(seen) == 8
    assert len(set(seen)) == 1
    eventually(lambda: busy.run("ls", "-a", "-q").ok().stdout == "")


def test_where_no_containers_can_be_made_tests_are_skipped(busy: Host, suite: Path) -> None:
    (suite / "test_it.py").write_text("def test_it(compose): pass\n", encoding="utf-8")
    pytest_argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra", "test_it.py"]
    # Another user to all who ask, who can still read our files.
    argv = ["unshare", "--user", "--map-user=1000", "--map-group=1000", *pytest_argv]
    env = {"PYTHONDONTWRITEBYTECODE": "1", "PYCOMPOSE_ROOTLESS": "0"}
    skipped = busy.command(argv, cwd=suite, env=env).exited(0)
    assert "needs root" in skipped.stdout
    assert "pycompose doctor" in skipped.stdout
    failed = busy.command([*argv, "--pycompose-require"], cwd=suite, env=env)
    assert failed.exited(1).stdout.count("needs root") >= 1


def test_bad_settings_are_usage_errors(busy: Host, suite: Path) -> None:
    (suite / "pytest.ini").write_text("[pytest]\npycompose_scope = galaxy\n")
    found = run(busy, suite, "def test_it(): pass\n", code=4)
    assert "pycompose_scope: 'galaxy' is none of session" in found.stderr
    (suite / "pytest.ini").write_text("[pytest]\npycompose_timeout = soon\n")
    found = run(busy, suite, "def test_it(): pass\n", code=4)
    assert "pycompose_timeout: 'soon' is no duration" in found.stderr
    (suite / "pytest.ini").write_text("[pytest]\npycompose_timeout = 1m30s\n")
    run(busy, suite, "def test_it(compose): assert compose.timeout_s == 90\n")
    found = run(busy, suite, "def test_it(): pass\n", "--pycompose-report=/no/where.json", code=4)
    assert "there is no directory /no" in found.stderr
    marked = "import pytest\n@pytest.mark.compose({0})\ndef test_it(compose): pass\n"
    for mark, message in (
        ("servces=['db']", "compose marker: servces: unknown"),
        ("'db'", "compose marker: 'db': unknown"),
        ("reset='often'", "compose marker: reset 'often' is none of restart"),
    ):
        assert message in run(busy, suite, marked.format(mark), code=1).stdout
    (suite / "pytest.ini").write_text("[pytest]\npycompose_scope = package\n")
    assert 'compose_fixture(…, scope="package")' in run(busy, suite, "def test_it(): pass\n", code=4).stderr


def test_each_package_has_a_stack_of_its_own(busy: Host, suite: Path) -> None:
    fixture = (
        "from pycompose.testing import compose_fixture\n"
        "compose = compose_fixture(services=['db'], scope='package')\n"
    )
    test = "def test_{0}(compose): open('names', 'a').write(compose.name + '\\n')\n"
    for package in ("one", "two"):
        (suite / package).mkdir()
        (suite / package / "__init__.py").touch()
        (suite / package / "conftest.py").write_text(fixture)
        for number in "ab":
            (suite / package / f"test_{number}.py").write_text(test.format(number))
    run(busy, suite, "")
    names = (suite / "names").read_text().split()
    assert names[0] == names[1] != names[2] == names[3]
    nothing_left(busy)


@pytest.mark.timeout(60 + 30 * KILLS)
def test_kills_of_pytest_leave_nothing(busy: Host, suite: Path) -> None:
    """PYCOMPOSE_STACK_KILLS=200 for as many; the seed is printed, PYCOMPOSE_KILL_SEED repeats it.

    Its workers end with it, and nobody has to clean up: the stacks are taken down by their supervisors.
    """
    seed = int(os.environ.get("PYCOMPOSE_KILL_SEED") or time.time_ns())
    print(f"seed {seed}")
    lot = random.Random(seed)  # noqa: S311 - to be repeated
    (suite / "test_it.py").write_text(
        """
import pytest
from pycompose.testing import compose_fixture
own = compose_fixture("compose.yaml", services=["cache", "db"], scope="function")
@pytest.mark.compose(reset="snapshot")
@pytest.mark.parametrize("number", range(100))
def test_shared(compose, number):
    compose["db"].exec("touch", "/data/x")
    compose["cache"].kill()
@pytest.mark.parametrize("number", range(100))
def test_own(own, number):
    own["db"].loss(5)
    own["cache"].freeze()
""",
        encoding="utf-8",
    )
    order = "import random\ndef pytest_collection_modifyitems(items): random.Random(SEED).shuffle(items)\n"
    for number in range(KILLS):
        (suite / "conftest.py").write_text(order.replace("SEED", str(number)), encoding="utf-8")
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
        argv += ["-n", "2"] if lot.random() < 0.3 else []
        with (suite / "output").open("wb") as output:
            run = busy.inside(
                lambda argv=argv, output=output: subprocess.Popen(
                    argv, cwd=suite, env=busy.environment, stdout=output, stderr=output
                )
            )
        try:
            run.wait(lot.uniform(0.5, 6.0))
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
        else:
            pytest.fail((suite / "output").read_text())
        for argv in (("ls", "-a", "-q"), ("volume", "ls", "-q")):
            eventually(lambda argv=argv: busy.run(*argv).ok().stdout == "", timeout_s=30)
