"""Writes what every file of golden/ becomes beside it: `python -m tests.unit.kube.regenerate`, then read the change."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pycompose.kube.documents import to_yaml

from tests.unit.kube.conversion import convert_text

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.yaml"))


def result(name: str, folder: Path) -> str:
    """Return what is said of a file, and its objects, converted in an empty folder with a file and a directory."""
    (folder / "file.txt").write_text("text\n", encoding="utf-8")
    (folder / "file.txt").chmod(0o644)
    (folder / "dir").mkdir()
    text = (GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")
    conversion = convert_text(text, folder, environment={"WORD": "secret"})
    lines = [f"# {remark.severity.value} {remark}\n" for remark in conversion.remarks]
    return ("".join(lines) + to_yaml(conversion.objects)).replace(str(folder), "FOLDER")


def main() -> int:
    """Write all, or those that are named."""
    for name in sys.argv[1:] or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            (GOLDEN / f"{name}.out").write_text(result(name, Path(folder).resolve()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
