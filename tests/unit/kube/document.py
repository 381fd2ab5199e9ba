"""Writes the table of docs/kubernetes.md out of the treatments: `python -m tests.unit.kube.document`."""

from __future__ import annotations

import sys
from pathlib import Path

from pycompose.kube.coverage import ROWS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/kubernetes.md"
MARK = "<!-- below: made by tests/unit/kube/document.py -->\n"
_WORDS = {"mapped": "", "note": "note: ", "warning": "**warning**: ", "error": "**refused**: "}


def table() -> str:
    """Return the table: an attribute a line, in the order of their names."""
    lines = ["| in the compose file | in a cluster |\n", "| --- | --- |\n"]
    silent = []
    for pattern, treatment in ROWS.items():
        name = pattern.replace("services.*.", "").replace(".[]", "[]")
        if treatment.kind == "silent":
            silent.append(f"`{name}`")
        else:
            lines.append(f"| `{name}` | {_WORDS[treatment.kind]}{treatment.text} |\n")
    text = "".join(lines)
    return f"{text}\nWithout a meaning there, and so without a word: {', '.join(silent)}.\n"


def document() -> str:
    """Return the document with the table as it should be."""
    head, _, _ = DOCUMENT.read_text(encoding="utf-8").partition(MARK)
    return f"{head}{MARK}\n{table()}"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
    sys.exit(0)
