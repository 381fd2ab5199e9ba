"""Our side of the comparison: the loader and the command line, in this process."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from pycompose.cli.main import main
from pycompose.config.load import Loaded, load
from pycompose.config.options import LoadOptions
from pycompose.engine.errors import PycomposeError

from tests.support.oracle import BASE_ENVIRONMENT, Answer


def options(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> LoadOptions:
    """Return what the global flags in front of `config` mean to the loader."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-f", "--file", action="append", default=[])
    parser.add_argument("-p", "--project-name")
    parser.add_argument("--profile", action="append", default=[])
    parser.add_argument("--env-file", action="append", default=[])
    parser.add_argument("--project-directory", "--workdir")
    parser.add_argument("services", nargs="*")
    given, _ = parser.parse_known_args(arguments)
    return LoadOptions(
        files=tuple(given.file),
        project_name=given.project_name,
        project_directory=given.project_directory,
        profiles=tuple(given.profile),
        env_files=tuple(given.env_file),
        services=tuple(given.services[1:]),
        environment={**BASE_ENVIRONMENT, "PWD": str(cwd), **environment},
        working_dir=str(cwd),
    )


def load_project(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], stdin: str = ""
) -> Loaded:
    """Load with the loader itself. Raises PycomposeError."""
    with standard_input(stdin):
        return load(options(arguments, cwd, environment))


def run(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], stdin: str = "") -> Answer:
    """Run `pycompose` with `arguments` in `cwd`; the environment is only what is given."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, standard_input(stdin):
        for name in list(os.environ):
            patch.delenv(name)
        for name, value in {**BASE_ENVIRONMENT, "PWD": str(cwd), **environment}.items():
            patch.setenv(name, value)
        patch.chdir(cwd)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    return Answer(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def standard_input(text: str) -> Iterator[None]:
    """Let the block read `text` from standard input."""
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
    try:
        yield
    finally:
        sys.stdin = before


def errors(error: PycomposeError) -> list[PycomposeError]:
    """Return the single errors that were reported together."""
    return list(getattr(error, "errors", [error]))
