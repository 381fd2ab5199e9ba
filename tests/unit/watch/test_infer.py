"""Rules out of a Dockerfile."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

from pycompose.engine.paths import StatePaths
from pycompose.model import Build, Project, Service
from pycompose.watch.explain import explain
from pycompose.watch.infer import as_yaml, infer
from pycompose.watch.rules import rules_of

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE = """
FROM scratch AS deps
WORKDIR /app
COPY package*.json ./
RUN install
FROM deps AS build
COPY web /src/web
RUN compile
FROM deps
COPY --exclude=*.md src ./src/
COPY a.cfg b.cfg /etc/app/
COPY --from=build /src/web/static /static
COPY --from=build /out /out
ADD https://example.com/x /x
COPY <<E /inline
text
E
"""


def project(folder: Path, dockerfile: str = DOCKERFILE) -> Project:
    """Make a project with one service that is built."""
    for name in ("package.json", "package-lock.json", "a.cfg", "b.cfg", "src/a.py", "web/static/x", "web/y"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "Dockerfile").write_text(dockerfile)
    build = Build(context=str(folder), tree={"context": str(folder)})
    return Project(name="demo", directory=str(folder), services={"app": Service(name="app", build=build)})


def inferred(folder: Path, found: Project) -> list[tuple[str, str, str]]:
    """Return (path, action, target), paths relative to the project."""
    paths = StatePaths(root=folder / "state", run=folder / "run")
    rules = infer(paths, found, found.services["app"], {})
    return [(rule.path.removeprefix(f"{folder}/"), rule.action, rule.target) for rule in rules]


def test_stages(tmp_path: Path) -> None:
    """What is copied is synced, what a RUN reads is a reason to build, through all stages."""
    assert inferred(tmp_path, project(tmp_path)) == [
        ("src", "sync", "/app/src"),
        ("a.cfg", "sync", "/etc/app/a.cfg"),
        ("b.cfg", "sync", "/etc/app/b.cfg"),
        ("package-lock.json", "rebuild", ""),
        ("package.json", "rebuild", ""),
        ("web", "rebuild", ""),
        ("Dockerfile", "rebuild", ""),
    ]


def test_unchanged_through_a_stage(tmp_path: Path) -> None:
    """A directory that another stage only hands on is synced to where it ends."""
    text = "FROM scratch AS a\nCOPY src /from\nFROM scratch\nCOPY --from=a /from /to\n"
    assert inferred(tmp_path, project(tmp_path, text))[0] == ("src", "sync", "/to")


def test_one_source_in_several_places(tmp_path: Path) -> None:
    """Each of them gets it; a whole context is `.`."""
    text = "FROM scratch\nCOPY a.cfg /one\nCOPY a.cfg /two/\nCOPY . /all\n"
    found = project(tmp_path, text)
    assert inferred(tmp_path, found)[:2] == [("a.cfg", "sync", "/one"), ("a.cfg", "sync", "/two/a.cfg")]
    paths = StatePaths(root=tmp_path / "state", run=tmp_path / "run")
    assert "        - path: .\n" in as_yaml(found, {"app": infer(paths, found, found.services["app"], {})})


def test_patterns(tmp_path: Path) -> None:
    """Files that come later fit as well; two patterns, or one over directories, are the paths that there are."""
    found = project(tmp_path, "FROM scratch\nCOPY *.cfg /etc/app/\n")
    paths = StatePaths(root=tmp_path / "state", run=tmp_path / "run")
    rule = infer(paths, found, found.services["app"], {})[0]
    assert (rule.path, rule.include, rule.target) == (str(tmp_path), ("*.cfg",), "/etc/app")
    found = project(tmp_path, "FROM scratch\nCOPY s* /etc/app/\n")
    assert inferred(tmp_path, found)[0] == ("src", "sync", "/etc/app")


def test_archives(tmp_path: Path) -> None:
    """ADD unpacks them: a sync of the file would be none of what the image has."""
    with tarfile.open(tmp_path / "files.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    found = project(tmp_path, "FROM scratch\nADD files.tar.gz a.cfg /x/\n")
    assert inferred(tmp_path, found) == [
        ("a.cfg", "sync", "/x/a.cfg"), ("files.tar.gz", "rebuild", ""), ("Dockerfile", "rebuild", ""),
    ]  # fmt: skip


def test_yaml(tmp_path: Path) -> None:
    """It is to be pasted into a compose file."""
    found = project(tmp_path)
    paths = StatePaths(root=tmp_path / "state", run=tmp_path / "run")
    rules = infer(paths, found, found.services["app"], {})
    assert as_yaml(found, {"app": rules}).splitlines()[:8] == [
        "services:",
        "  app:",
        "    develop:",
        "      watch:",
        "        - path: ./src",
        "          action: sync",
        "          target: /app/src",
        "          ignore: ['*.md']",
    ]


def test_explain(tmp_path: Path) -> None:
    """Every rule that a path lies below says what it makes of it."""
    found = project(tmp_path)
    paths = StatePaths(root=tmp_path / "state", run=tmp_path / "run")
    service = found.services["app"]
    rules = infer(paths, found, service, {})
    app = Service(name="app", build=service.build, watch=rules)
    watched = Project(name="demo", directory=str(tmp_path), services={"app": app})
    known = rules_of(watched, ())

    def lines(name: str) -> list[str]:
        return explain(watched, known, str(tmp_path / name))

    assert lines("src/a.py") == [
        "services.app.develop.watch[0] (sync): to /app/src/a.py: below the rule's path"
    ]
    assert lines("src/a.md")[0] == "services.app.develop.watch[0] (sync): no: left out by ignore: *.md"
    assert "no rule takes it: a build would be needed" in lines("src/a.md")[1]
    assert "(rebuild): rebuild" in lines("package.json")[0]
    assert explain(watched, known, "/elsewhere") == ["no rule is about this path"]
    os.mkfifo(tmp_path / "src/fifo")
    assert lines("src/fifo")[0] == (
        "services.app.develop.watch[0] (sync): no: sockets, FIFOs and devices stay on this side"
    )
