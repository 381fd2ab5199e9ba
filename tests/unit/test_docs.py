"""What the documents promise exists: commands, targets, files."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.support.requires import DEBIAN
from tests.support.sources import REPOSITORY, modules

README = REPOSITORY / "README.md"
SETUP = REPOSITORY / "setup"
DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "HACKING.md")),
    *REPOSITORY.glob("docs/*.md"),
    *REPOSITORY.glob("examples/*/README.md"),
]
# Documents of the Compose, OCI runtime and OCI image specifications.
SPECIFICATIONS = frozenset(
    {
        "04-version-and-name.md", "05-services.md", "09-secrets.md", "11-extension.md", "12-interpolation.md",
        "13-merge.md", "build.md", "deploy.md", "develop.md",
        "annotations.md",
        "config-linux.md", "config.md", "descriptor.md", "image-index.md", "image-layout.md", "layer.md", "manifest.md",
    }
)  # fmt: skip
PYCOMPOSE = Path(sysconfig.get_path("scripts"), "pycompose")


def fenced(text: str) -> list[str]:
    """Return the lines in code blocks, without the prompt of those that show a session."""
    lines = []
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language == "sh":
            lines += block.splitlines()
        elif language == "console":
            lines += [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return lines


def section(text: str, title: str) -> str:
    """Return the text below the heading `title`, up to the next one of its rank."""
    return re.split(r"^## ", text.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_two_commands_set_a_machine_up() -> None:
    """Each is one line, and both are cases of the script."""
    commands = fenced(section(README.read_text(encoding="utf-8"), "Set up"))

    assert commands == ["./setup demo", "./setup check"]
    assert SETUP.stat().st_mode & 0o111
    for command in commands:
        assert f"\n{command.split()[1]})\n" in SETUP.read_text(encoding="utf-8")


def test_ci_runs_the_readmes_test_command() -> None:
    """CI proves what the README promises."""
    script = (REPOSITORY / ".ci/run").read_text(encoding="utf-8")

    assert script.splitlines()[-1] == "PYCOMPOSE_TEST_STRICT=1 ./setup check"


def test_the_set_up_script_explains_itself() -> None:
    """Without a known target it prints the targets and fails."""
    done = subprocess.run([SETUP], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("./setup demo ")


def test_the_set_up_script_installs_what_tests_ask_for() -> None:
    """Every program named in a `requires` has its Debian package in the list, and no other is there."""
    asked: set[str] = set()
    for path in (REPOSITORY / "tests").rglob("*.py"):
        for arguments in re.findall(r"\brequires\(([^)]*)\)", path.read_text(encoding="utf-8")):
            asked |= set(re.findall(r'"([\w.-]+)"', arguments))
    (listed,) = re.findall(r'^TEST_PACKAGES="([^"]*)"$', SETUP.read_text(encoding="utf-8"), re.MULTILINE)
    unknown = asked - DEBIAN.keys()

    assert unknown == set(), "tests/support/requires.py must know their Debian package"
    assert sorted(listed.split()) == sorted({DEBIAN[name] for name in asked} - {""})


def test_every_test_is_in_one_part_of_what_is_run() -> None:
    """`./setup check` runs parts of the tests: none is forgotten, and none runs twice."""
    (listed,) = re.findall(
        r"<<PARTS[^\n]*\n(.*?)^PARTS$", SETUP.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    parts = [line for line in listed.splitlines() if not line.startswith("--as-user ")]
    run = [
        test
        for glob in " ".join(parts).split()
        for path in REPOSITORY.glob(glob)
        for test in (path.rglob("test_*.py") if path.is_dir() else [path])
    ]

    assert sorted(run) == sorted((REPOSITORY / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: Path) -> None:
    """Relative links name files of the repository."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]

    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_to_headings(document: Path) -> None:
    """`#that-heading`, in this document or in the one that is named."""
    for name, anchor in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", document.read_text(encoding="utf-8")):
        target = document.parent / name if name else document
        headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in slugs, f"{name}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_commands_in_documents_exist(document: Path) -> None:
    """Every `pycompose COMMAND` and its flags are in that command's own help."""
    for line in fenced(document.read_text(encoding="utf-8")):
        if not line.startswith("pycompose "):
            continue
        _name, verb, *rest = line.split()
        done = subprocess.run([PYCOMPOSE, verb, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        if "COMMAND [ARGS]" in done.stdout and rest:  # a group
            group, verb = verb, rest.pop(0)
            done = subprocess.run(
                [PYCOMPOSE, group, verb, "--help"], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}: {done.stderr}"
        if verb not in ("exec", "run"):  # what follows belongs to the command inside
            for flag in (word for word in rest if word.startswith("-")):
                assert re.search(rf"(?<![\w-]){flag}(?![\w-])", done.stdout), f"{line}: no {flag} in its help"


def test_files_that_comments_name_exist() -> None:
    """A reader can follow what the source says of other modules; documents are those of a specification, or ours."""
    found = [
        *modules().values(),
        *REPOSITORY.glob("tests/**/*.py"),
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/*.md"),
    ]
    files = [f"/{path.relative_to(REPOSITORY)}" for path in found]
    gone = []
    for module, path in modules().items():
        text = path.read_text(encoding="utf-8")
        named = set(re.findall(r"(?<![\w.])[\w/]+\.py\b|[\w/-]+\.md\b", text)) - SPECIFICATIONS
        gone += [f"{module}: {n}" for n in sorted(named) if not any(file.endswith(f"/{n}") for file in files)]
    assert gone == []
