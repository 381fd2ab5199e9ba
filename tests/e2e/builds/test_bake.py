"""`build --print` beside what Docker Compose 2.40 prints for the same file; what it has in any order is sorted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.scenario import Host

HERE = Path(__file__).parent
ANSWERS: dict[str, Any] = json.loads((HERE / "bake.json").read_text(encoding="utf-8"))


def sorted_orders(printed: dict[str, Any]) -> dict[str, Any]:
    """Sort what comes in any order there, and leave out our own version."""
    printed["group"]["default"]["targets"].sort()
    for target in printed["target"].values():
        del target["labels"]["com.docker.compose.version"]
        for key in ("ulimits", "ssh"):
            target.get(key, []).sort()
    return printed


@pytest.mark.parametrize("flags", ANSWERS)
def test_what_bake_would_be_told(host: Host, flags: str) -> None:
    """Key by key, in the same order; nothing without services to build, and nothing is built."""
    folder = host.project({"sub/Dockerfile": "", "sub/Other": "", "Dockerfile": "", "s": "", "o/x": ""})
    text = (HERE / "bake.yaml").read_text(encoding="utf-8")
    (folder / "compose.yaml").write_text(text.replace("/context/", f"{folder}/"), encoding="utf-8")
    env = {"T": "1", "FROMENV": "envd", "E": "ee"}
    done = host.run("build", "--print", *flags.split(), cwd=folder, env=env).ok()

    if ANSWERS[flags] is None:
        assert done.stdout == ""
        return
    got = json.dumps(sorted_orders(json.loads(done.stdout)), indent=1)
    assert got.replace(str(folder), "/context") == json.dumps(ANSWERS[flags], indent=1)
