"""Which paths a rule takes: the pipeline of Docker Compose, without its oddities."""

from __future__ import annotations

import pytest
from pycompose.engine.builder.globs import PatternError
from pycompose.watch.matching import Matcher


def taken(path: str, *, include: tuple[str, ...] = (), ignore: tuple[str, ...] = ()) -> bool:
    """Tell whether a rule with these patterns takes `path`; the reason that is given has to agree."""
    matcher = Matcher(include, ignore, "", None)
    found = matcher.takes(path)
    assert matcher.verdict(path).taken == found
    return found


@pytest.mark.parametrize(
    "path",
    (
        ".git/index", "a/.git/HEAD", ".idea/workspace.xml", "a.py___jb_tmp___", "a.py___jb_old___", "a.py~",
        ".#a.py", "#a.py#", "4913", "src/.a.py.swp", ".a.swx", ".a.swo", ".a.swn", ".a.kate-swp", "a-go-tmp-umask",
    ),
)  # fmt: skip
def test_what_editors_leave(path: str) -> None:
    """Temporary files of editors, and git's own."""
    assert not taken(path)


@pytest.mark.parametrize("path", ("a.py", ".gitignore", "a.swp", "49130", "idea/a", ".env", "src/.hidden"))
def test_what_only_looks_like_it(path: str) -> None:
    """Everything else is taken."""
    assert taken(path)


def test_ignore() -> None:
    """Docker's patterns: from the rule's path, directories with all below, the last one that fits decides."""
    assert not taken("node_modules/a/b.js", ignore=("node_modules/",))
    assert taken("web/node_modules/b.js", ignore=("node_modules/",))
    assert not taken("web/node_modules/b.js", ignore=("**/node_modules",))
    assert not taken("a.log", ignore=("*.log",))
    assert taken("keep.log", ignore=("*.log", "!keep.log"))
    assert not taken("keep.log", ignore=("!keep.log", "*.log"))
    assert not taken("a.py", ignore=("./a.py",))
    assert not taken("b/c.py", ignore=("*", "!a.py"))
    assert taken("a.py", ignore=("*", "!a.py"))
    assert taken("b.log", ignore=("*.tmp", "*", "!b.log"))


def test_include() -> None:
    """Only what fits; `ignore` wins."""
    assert taken("a.py", include=("*.py",))
    assert not taken("b/a.py", include=("*.py",))
    assert taken("b/a.py", include=("**/*.py",))
    assert taken("src/x/y", include=("src",))
    assert not taken("a.txt", include=("*.py",))
    assert not taken("a.py", include=("*.py",), ignore=("a.py",))
    assert taken("", include=("*.py",))


def test_a_bare_star() -> None:
    """It takes no other pattern's meaning away, neither behind it nor before, and is everything."""
    assert taken("keep/yes", ignore=("*", "!keep", "keep/no"))
    assert not taken("keep/no", ignore=("*", "!keep", "keep/no"))
    assert taken("a/b", include=("*",))
    assert not taken("a/b", include=("*",), ignore=("a/b", "c"))


def test_docker_ignore() -> None:
    """`.dockerignore` counts from the build context, wherever in it the rule's path lies."""
    matcher = Matcher((), (), "web/dist\n*.md\n", "web")
    assert not matcher.takes("dist/a.js")
    assert matcher.takes("README.md")
    assert matcher.verdict("dist/a.js").reason == "left out by .dockerignore: web/dist"
    assert Matcher((), (), "web/dist", None).takes("dist/a.js")


def test_reasons() -> None:
    """What decides is named."""
    matcher = Matcher(("**/*.py",), ("tests/**",), "", None)
    assert matcher.verdict("a.txt").reason == "no pattern of include fits"
    assert matcher.verdict("tests/a.py").reason == "left out by ignore: tests/**"
    assert matcher.verdict("a.py").reason == "include: **/*.py"
    assert matcher.verdict("x.py~").reason == "no pattern of include fits"


def test_pruning() -> None:
    """Nobody looks into what is left out, unless an exception could be in there."""
    assert Matcher((), ("node_modules",), "", None).prunes("node_modules")
    assert not Matcher((), ("node_modules", "!node_modules/mine"), "", None).prunes("node_modules")
    assert not Matcher((), ("node_modules",), "", None).prunes("")
    assert Matcher((), (), "", None).prunes(".git")
    assert not Matcher(("**/*.py",), (), "", None).prunes("docs")


def test_bad_pattern() -> None:
    """It is named."""
    with pytest.raises(PatternError, match=r"\[a-"):
        Matcher(("[a-",), (), "", None)


def test_a_list_has_no_comments() -> None:
    """Unlike a file; and `.` is everything, as in Compose."""
    assert not taken("#a", ignore=("#a",))
    assert taken("#a", include=("#a",))
    assert taken("src/a", include=(".",))
    assert not taken("src/a", ignore=("./",))


def test_any_depth() -> None:
    """A path may have more levels than Python has frames."""
    matcher = Matcher((), ("*.log",), "", None)
    assert matcher.takes("d/" * 1500 + "f")
    assert not matcher.takes("a.log/" + "d/" * 1500 + "f")
