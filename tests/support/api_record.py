"""Ask the real Engine (tests/support/engines.py) what it answers to api_tape.py, and keep that.

`python -m tests.support.api_record`
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.support.api_tape import Tape
from tests.support.engines import peers_pid
from tests.support.rootfs import build_tar

RECORD = Path(__file__).with_name("api_record.json")


def main() -> None:
    """Write the record."""
    with tempfile.TemporaryDirectory() as folder:
        tape = Tape(
            f"/proc/{peers_pid()}/root/run/docker.sock",
            build_tar(Path(folder, "box.tar"), Path(folder, "tree")),
        )
        tape.play()
    RECORD.write_text(json.dumps(tape.answers, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
