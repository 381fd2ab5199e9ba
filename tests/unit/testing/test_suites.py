"""`x-test` as it is read, and results as JUnit XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from pycompose.config.load import load
from pycompose.config.options import LoadOptions
from pycompose.errors import ConfigError
from pycompose.testing.suites import CaseResult, declared, junit, read_suite

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.config.load import Loaded

HEAD = "services:\n  db: {image: x}\n  tests:\n    image: x\n    profiles: [test]\n    x-test:\n"


def loaded(folder: Path, body: str) -> Loaded:
    lines = "".join(f"      {line}\n" for line in body.splitlines())
    (folder / "compose.yaml").write_text(HEAD + lines, encoding="utf-8")
    return load(LoadOptions(files=(str(folder / "compose.yaml"),), environment={}, working_dir=str(folder)))


def test_a_suite_is_read(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "command: pytest -q 'a b'\nreset: snapshot\ntimeout: 1m30s\nwait: {db: {tcp: 5432, log: ready}}\n"
        "scenarios:\n  slow: {faults: [{service: db, latency: 50ms}, {partition: [tests, db]}]}\n"
        "  other: {command: [make, check], timeout: 5}",
    )
    suite = read_suite(found, "tests")
    assert declared(found) == ["tests"]
    assert [s.name for s in suite.scenarios] == ["tests", "slow", "other"]
    assert [s.command for s in suite.scenarios] == [
        ("pytest", "-q", "a b"),
        ("pytest", "-q", "a b"),
        ("make", "check"),
    ]
    assert [s.timeout_s for s in suite.scenarios] == [90.0, 90.0, 5.0]
    assert [(service, wait.description) for service, wait in suite.waits] == [
        ("db", "tcp 5432"),
        ("db", "log 'ready'"),
    ]
    assert suite.scenarios[1].faults == ({"service": "db", "latency": "50ms"}, {"partition": ["tests", "db"]})
    assert suite.reset == "snapshot"


@pytest.mark.parametrize(
    ("body", "text"),
    (
        ("comand: x", r"compose\.yaml:7:7: services\.tests\.x-test\.comand: unknown"),
        ("reset: never", r"compose\.yaml:7:14: services\.tests\.x-test\.reset: must be one of restart"),
        ("wait: {dbb: healthy}", r"compose\.yaml:7:19: .*: no such service: dbb"),
        ("wait: {db: nice}", r"compose\.yaml:7:18: .*must be one of healthy"),
        ("wait: {db: {tcp: x}}", r"cannot use 'x'"),
        ("timeout: soon", r"not a duration: 'soon'"),
        ("scenarios: {a: {faults: [{service: db}]}}", r"says no fault"),
        ("scenarios: {a: {faults: [{service: nope, loss: 1}]}}", r"no such service: nope"),
        ("scenarios: {a: {faults: {service: db}}}", r"must be a list"),
        ("command: {a: b}", r"must be a text or a list"),
        ("scenarios: {a: {faults: [{partition: [db]}]}}", r"7:44: .*\[0\]\.partition: needs two services"),
        ("scenarios: {a: {faults: [{partition: [db, nope]}]}}", r"no such service: nope"),
        ("scenarios: {a: {faults: [{service: db, loss: 150}]}}", r"\.loss: loss 150: not a percentage"),
        ("scenarios: {a: {faults: [{service: db, bandwidth: fast}]}}", r"rate 'fast': not understood"),
        ("scenarios: {a: {faults: [{service: db, stop: true, kill: true}]}}", r"only one of stop, kill"),
        ("scenarios: {a: {faults: [{service: tests, loss: 5}]}}", r"is the service under test"),
        ("scenarios: {a: {faults: [{cut_off: tests}]}}", r"is the service under test"),
    ),
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, body: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        read_suite(loaded(tmp_path, body), "tests")


def test_results_are_junit() -> None:
    text = junit(
        [
            CaseResult(suite="api", name='a "b" <c>', code=0, seconds=1.5, output="ok\x1b[0m\x00 & <\n"),
            CaseResult(suite="api", name="slow", code=3, seconds=0.5, failure="exit code 3"),
            CaseResult(suite="api", name="gone", code=1, seconds=0, failure="no tc", broken=True),
        ]
    )
    root = ET.fromstring(text)  # noqa: S314 - ours
    (suite,) = root.findall("testsuite")
    assert suite.attrib == {"name": "api", "tests": "3", "failures": "1", "errors": "1", "time": "2.000"}
    first, second, third = suite.findall("testcase")
    assert first.attrib["name"] == 'a "b" <c>'
    assert first.findtext("system-out") == "ok\ufffd[0m\ufffd & <\n"
    failure = second.find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "exit code 3"
    error = third.find("error")
    assert error is not None
    assert error.attrib["message"] == "no tc"
