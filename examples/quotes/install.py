"""Install libraries from `vendor/`: compiled once per content, then taken from the cache."""

import argparse
import compileall
import hashlib
import os
import shutil
from pathlib import Path

VENDOR = Path(__file__).parent / "vendor"


def digest(folder: Path) -> str:
    """Return what names the content of a library."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        whole.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def main() -> None:
    """Install what the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--into", type=Path)
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    options.into.mkdir(parents=True)
    for name in options.names:
        kept = options.cache / f"{name}-{digest(VENDOR / name)}"
        print(f"{name}: {'from the cache' if kept.exists() else 'compiling'}", flush=True)
        if not kept.exists():
            making = kept.with_name(f".{kept.name}.{os.getpid()}")
            shutil.copytree(VENDOR / name, making)
            compileall.compile_dir(making, quiet=1)
            making.rename(kept)
        shutil.copytree(kept, options.into / name)


if __name__ == "__main__":
    main()
