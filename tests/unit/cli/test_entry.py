"""The script's entry, before the command line has begun."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_interrupted_while_it_imports(tmp_path: Path) -> None:
    """Ctrl+C as early as that ends it as later: with 130, and without a word."""
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from pycompose.entry import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", script, "version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
