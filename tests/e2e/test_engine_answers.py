"""What clients were seen to ask, answered as the real Engine 26.1 has answered it: status, type, keys and their types.

tests/support/api_tape.py has the requests, api_record.json the answers, and this file what differs on purpose.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.api_record import RECORD
from tests.support.api_tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.served import Served

# Pattern of a difference ("REQUEST: PATH: THEIRS, here OURS"), and why.
ANY_CONTAINER = r"GET /containers/(created|exited|paused|tape1)/json.*: "
STATS = re.escape("GET /containers/tape1/stats?stream=0: ")
DIFFERENCES: dict[str, str] = {
    ANY_CONTAINER
    + r"\.HostConfig\.(Mounts|Tmpfs)": "a mount of a tmpfs is shown as `Tmpfs` has it, which means the same",
    r"GET /containers/created/json: .*\.DNSNames: null": "names are known before the first start",
    STATS
    + r"\.(blkio_stats|(pre)?cpu_stats\.cpu_usage\.percpu_usage|memory_stats\.max_usage)": "recorded with control "
    "groups v1; everywhere we say what v2 has",
    STATS + r"\.memory_stats\.stats\.": "what the kernel says, which was another one",
    r"GET /images/.*/json: \.Descriptor: missing": "newer engines have it",
    r"GET /images/.*/json: \.GraphDriver\.Data\.": "layers are directories, which are mounted nowhere",
    r"GET /info: \.(ContainerdCommit|InitCommit|RuncCommit|Runtimes)": "there is no containerd, runc or tini",
    r"GET /info: \.RegistryConfig": "registries are asked as each client says, not as a daemon is configured",
    r"GET /info: \.(PycomposeVersion|RunDir): missing": "more than Docker says",
    r"GET /networks.*\.EnableIPv4: missing": "newer engines have it",
    r"GET /networks.*\.IPAM\.Options: null": "{} and null mean the same",
    r"GET /system/df: \.BuildCache\[\]\. Parents": "a slip of moby's: the name begins with a space",
    r"GET /system/df: \.Images\[\]\.RepoDigests: null": "[] and null mean the same, and lists have []",
    r"POST /exec/start again: ": "Docker says 200 and then the error; 409 is what its documentation promises",
}


def different(theirs: Any, ours: Any, where: str) -> Iterator[str]:
    """Yield what isn't the same: keys of one only, other types. What Docker has in no list may be in ours."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted({*theirs, *ours}):
            yield from different(theirs.get(key, "missing"), ours.get(key, "missing"), f"{where}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        for one, other in zip(theirs, ours, strict=False):
            yield from different(one, other, f"{where}[]")
    elif theirs != ours:
        yield f"{where}: {_shown(theirs)}, here {_shown(ours)}"


def _shown(shape: Any) -> str:
    return "object" if isinstance(shape, dict) else "list" if isinstance(shape, list) else shape


@pytest.mark.timeout(180)
def test_answers_are_the_engine_s(served: Served, busybox_tar: Path) -> None:
    tape = Tape(str(served.path), busybox_tar)
    tape.play()
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    assert tape.answers.keys() == recorded.keys()
    found = []
    for name, theirs in recorded.items():
        ours = tape.answers[name]
        for part in ("status", "type"):
            found += different(theirs[part], ours[part], f"{name}: {part}")
        found += different(theirs["shape"], ours["shape"], f"{name}: ")
    unexplained = [line for line in found if not any(re.match(pattern, line) for pattern in DIFFERENCES)]
    assert unexplained == [], "\n".join(unexplained)
    unused = [pattern for pattern in DIFFERENCES if not any(re.match(pattern, line) for line in found)]
    assert unused == []
