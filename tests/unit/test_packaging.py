"""The wheel holds every module and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pycompose.version import COMPOSE_VERSION

from tests.support.sources import FOLDERS, REPOSITORY, modules, settings

DATA = (".css", ".html", ".js", ".svg", ".json", ".typed", ".txt", ".c", ".sh", ".x86_64", ".aarch64")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """Build the wheel once, from a copy: a `build/` folder in the sources would leak old modules into it."""
    copy = tmp_path_factory.mktemp("sources")
    for folder in FOLDERS.values():
        shutil.copytree(folder, copy / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "bin").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "bin/pycompose"):
        shutil.copy2(REPOSITORY / name, copy / name)
    target = tmp_path_factory.mktemp("wheel")
    # No build isolation: the test extra brings setuptools, so no network is needed.
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--wheel-dir", str(target), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = target.iterdir()
    return zipfile.Path(path)


def files_below(path: zipfile.Path) -> set[str]:
    """Return the names of all files in the wheel."""
    return {name for name in path.root.namelist() if not name.endswith("/")}


def test_the_package_list_and_the_folders_agree() -> None:
    """An unlisted package imports fine in development and is missing in the wheel."""
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}

    assert sorted(settings()["tool"]["setuptools"]["packages"]) == sorted(packages)


def test_setup_installs_from_a_copy_of_all_that_is_needed() -> None:
    """In the sources themselves it would leave a `build/` folder, which brings deleted modules back the next time."""
    script = (REPOSITORY / "setup").read_text(encoding="utf-8")
    (copied,) = re.findall(r'cp -R (.*) "\$copy"', script)

    assert set(copied.split()) == {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "bin",
        *(f.name for f in FOLDERS.values()),
    }
    assert re.findall(r"pip install --quiet (\S+)", script) == ['"$copy"', "--editable"]


def test_every_folder_with_modules_is_a_package() -> None:
    """A folder without `__init__.py` would be left out silently."""
    bare = {str(path.parent) for path in modules().values() if not (path.parent / "__init__.py").exists()}

    assert bare == set()


def test_every_pattern_of_package_data_matches_a_file() -> None:
    """A pattern that matches nothing is a file that was forgotten, or a line that is."""
    idle = [
        f"{package}: {pattern}"
        for package, patterns in settings()["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        if not list(modules()[package].parent.glob(pattern))
    ]

    assert idle == []


def test_the_wheel_holds_every_module_and_data_file(wheel: zipfile.Path) -> None:
    """Module by module, under its import name."""
    expected = set()
    for package, folder in FOLDERS.items():
        top = Path(*package.split("."))
        for path in folder.rglob("*"):
            if path.suffix == ".py" or path.suffix in DATA:
                expected.add(str(top / path.relative_to(folder)))

    inside = {name for name in files_below(wheel) if not name.split("/")[0].endswith((".dist-info", ".data"))}
    assert inside == expected


def test_the_wheel_puts_one_name_into_site_packages(wheel: zipfile.Path) -> None:
    """No `engine`, no `compose`: other distributions and users own such names."""
    tops = {name.split("/")[0] for name in files_below(wheel)}

    assert sorted(top for top in tops if not top.endswith((".dist-info", ".data"))) == ["pycompose"]
    assert len(tops) == 3


def test_the_wheel_brings_the_command_and_the_licence(wheel: zipfile.Path) -> None:
    """`pycompose` is the one script."""
    (info,) = [entry for entry in wheel.iterdir() if entry.name.endswith(".dist-info")]

    scripts = [name.partition(".data/")[2] for name in files_below(wheel) if ".data/" in name]
    assert scripts == ["scripts/pycompose"]
    assert (info / "licenses" / "LICENSE").is_file()


def test_the_wheel_runs_beside_a_users_folders(wheel: zipfile.Path, tmp_path: Path) -> None:
    """Unpacked, it answers; a folder `engine` where one happens to be is not taken for ours."""
    site = tmp_path / "site"
    wheel.root.extractall(site)
    decoy = tmp_path / "engine"
    decoy.mkdir()
    (decoy / "__init__.py").write_text("raise SystemExit('the decoy was imported')\n", encoding="utf-8")
    script = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import pycompose; print(pycompose.__path__[0]);"
        "from pycompose.cli.main import main; sys.exit(main(['version', '--short']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(site / "pycompose"), COMPOSE_VERSION]


def test_the_module_runs(tmp_path: Path) -> None:
    """`python -I -m pycompose` is the same as the script."""
    command = [sys.executable, "-I", "-m", "pycompose", "version", "--short"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == COMPOSE_VERSION


def test_every_module_compiles_without_warnings() -> None:
    """A bad escape becomes an error in a later Python; pytest turns the warning into a failure."""
    for path in modules().values():
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
