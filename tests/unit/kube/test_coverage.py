"""No attribute of the format is forgotten on the way to a cluster, and no row of the table is of another format."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pycompose.config.attributes import ATTRIBUTES
from pycompose.config.patterns import Trie, compile_table
from pycompose.kube.coverage import ROWS, Treatment

from tests.unit.kube.conversion import convert_text
from tests.unit.kube.document import DOCUMENT, document

if TYPE_CHECKING:
    from pathlib import Path


def patterns() -> list[str]:
    """Return the pattern of every attribute of the format; one that nests itself is followed once."""
    found: list[str] = []

    def follow(structure: str, prefix: tuple[str, ...], above: tuple[str, ...]) -> None:
        for key, (_type, printed, *_rules) in ATTRIBUTES[structure].items():
            path = (*prefix, key)
            found.append(".".join(path))
            match = re.fullmatch(r"=(\w+)|\[(\w+)\]|\{(\w+)\}", printed)
            if match is None:
                continue
            inner = next(name for name in match.groups() if name)
            step = () if match[1] else ("[]",) if match[2] else ("*",)
            if inner in ATTRIBUTES and inner not in above:
                follow(inner, (*path, *step), (*above, inner))

    follow("project", (), ("project",))
    return found


PATTERNS = patterns()


def row(pattern: str) -> Treatment | None:
    """Return what the table says of a pattern: its own row, or the nearest above."""
    node: Trie[Treatment] | None = compile_table(ROWS)
    nearest = None
    for step in pattern.split("."):
        assert node is not None
        node = node.items if step == "[]" else node.any if step == "*" else node.keys.get(step) or node.any
        if node is None:
            break
        nearest = node.rule or nearest
    return nearest


@pytest.mark.parametrize(
    "pattern", [p for p in PATTERNS if p not in ("services", "networks", "volumes", "configs", "secrets")]
)
def test_every_attribute_has_a_row(pattern: str) -> None:
    """Mapped, silent, or said; those of services each by themselves."""
    assert row(pattern) is not None
    if re.fullmatch(r"services\.\*\.\w+", pattern):
        assert pattern in ROWS


def test_every_row_is_of_an_attribute() -> None:
    """A row that nothing meets would say nothing."""
    homes = {"services.*", "networks.*", "volumes.*", "configs.*", "secrets.*"}
    assert set(ROWS) - set(PATTERNS) - homes - {"services.*.pull_refresh_after"} == set()


def test_the_document_has_the_table() -> None:
    """After a change: `python -m tests.unit.kube.document`."""
    assert DOCUMENT.read_text(encoding="utf-8") == document()


SAMPLES = {
    "blkio_config": "{weight: 100}",
    "cgroup": "host",
    "cgroup_parent": "/x",
    "cpu_count": "1",
    "cpu_percent": "50",
    "cpu_rt_period": "1000",
    "cpu_rt_runtime": "100",
    "cpu_shares": "512",
    "cpuset": '"0"',
    "credential_spec": "{file: x}",
    "device_cgroup_rules": '["c 1:3 mr"]',
    "domainname": "x.org",
    "external_links": "[other]",
    "init": "true",
    "isolation": "hyperv",
    "mac_address": "02:42:ac:11:65:43",
    "mem_swappiness": "10",
    "memswap_limit": "64m",
    "oom_kill_disable": "true",
    "oom_score_adj": "100",
    "pids_limit": "10",
    "provider": "{type: x}",
    "runtime": "runsc",
    "stop_signal": "SIGINT",
    "storage_opt": "{size: 1G}",
    "ulimits": "{nofile: 10}",
    "use_api_socket": "true",
    "userns_mode": "x",
    "uts": "host",
    "volumes_from": "[b]",
}


def test_every_row_that_speaks_has_a_sample() -> None:
    """So that the next test sees them all."""
    speaking = {
        pattern.removeprefix("services.*.")
        for pattern, treatment in ROWS.items()
        if re.fullmatch(r"services\.\*\.\w+", pattern) and treatment.kind not in ("mapped", "silent")
    }
    assert speaking - {"models"} == set(SAMPLES)


@pytest.mark.parametrize("key", SAMPLES)
def test_what_a_cluster_does_not_have_is_said_where_it_stands(key: str, tmp_path: Path) -> None:
    """With severity and text of its row, at the line of its key."""
    extra = "  b: {image: x}\n" if key == "volumes_from" else ""
    text = f"name: p\nservices:\n  a:\n    image: x\n    {key}: {SAMPLES[key]}\n{extra}"
    treatment = ROWS[f"services.*.{key}"]
    (remark,) = [r for r in convert_text(text, tmp_path).remarks if r.location.path == f"services.a.{key}"]
    assert (remark.severity.value, remark.text) == (treatment.kind, treatment.text)
    assert (remark.location.line, remark.location.column) == (5, 5)
