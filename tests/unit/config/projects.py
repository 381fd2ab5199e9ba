"""Small projects for the tests of the loader's phases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pycompose.config.load import Loaded, LoadOptions, load


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files below `folder`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def load_files(folder: Path, *, environment: dict[str, str] | None = None, **options: Any) -> Loaded:
    """Load the project in `folder`; nothing of this process's environment is seen."""
    return load(LoadOptions(working_dir=str(folder), environment=environment or {}, **options))


def load_text(folder: Path, *texts: str, **options: Any) -> Loaded:
    """Load the texts as files that override each other."""
    names = [f"{number}.yaml" for number in range(len(texts))]
    write(folder, dict(zip(names, texts, strict=True)))
    return load_files(folder, files=tuple(names), project_name="p", **options)
