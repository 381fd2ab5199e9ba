"""The terminal of the page, from npm into the tree: `python -m tests.support.vendored` (npm has to be there).

Files are as published; npm checks each package against the hash that is written here.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

TARGET = Path(__file__).parents[2] / "compose/page/static/vendor"
XTERM = "sha512-TQwDdQGtwwDt+2cgKDLn0IRaSxYu1tSUjgKarSDkUM0ZNiSRXFpjxEsvc/Zgc5kq5omJ+V0a8/kIM2WD3sMOYg=="
FIT = "sha512-jYcgT6xtVYhnhgxh3QgYDnnNMYTcf8ElbxxFzX0IZo+vabQqSPAjC3c1wJrKB5E19VwQei89QCiZZP86DCPF7g=="
# Package → its hash, and its files by their names here.
PACKAGES = {
    "@xterm/xterm@6.0.0": (
        XTERM,
        {"lib/xterm.mjs": "xterm.js", "css/xterm.css": "xterm.css", "LICENSE": "xterm.LICENSE.txt"},
    ),
    "@xterm/addon-fit@0.11.0": (
        FIT,
        {"lib/addon-fit.mjs": "addon-fit.js", "LICENSE": "addon-fit.LICENSE.txt"},
    ),
}


def main() -> None:
    """Fetch the packages, and put their files in place."""
    for name, (integrity, files) in PACKAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            command = ["npm", "pack", "--json", "--pack-destination", folder, name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            (packed,) = json.loads(done.stdout)
            if packed["integrity"] != integrity:
                raise SystemExit(f"{name}: {packed['integrity']} in place of {integrity}")
            with tarfile.open(Path(folder, packed["filename"])) as archive:
                for source, target in files.items():
                    found = archive.extractfile(f"package/{source}")
                    assert found is not None
                    (TARGET / target).write_bytes(found.read())


if __name__ == "__main__":
    main()
