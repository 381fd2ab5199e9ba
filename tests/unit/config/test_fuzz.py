"""Whatever stands in the files, the loader ends soon, with a project or our own errors: never a traceback."""

from __future__ import annotations

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycompose.engine.errors import PycomposeError

from tests.unit.config import ours
from tests.unit.config.strategies import VARIABLES, emit, projects

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
EXAMPLES = int(os.environ.get("PYCOMPOSE_EXAMPLES", "15"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=SLOW)
pytestmark = pytest.mark.timeout(0 if EXAMPLES > 15 else 60)


def load(files: Mapping[str, bytes]) -> bool:
    """Load `files`; tell whether they were accepted. Anything but a PycomposeError goes through."""
    with tempfile.TemporaryDirectory() as name:
        for file, data in files.items():
            (Path(name) / file).write_bytes(data)
        return accepted(Path(name))


def accepted(project: Path) -> bool:
    """Load the project in a folder; tell whether it was accepted. Errors must have a text."""
    try:
        ours.load_project(["config"], project, VARIABLES)
    except PycomposeError as error:
        return not all(str(one) for one in ours.errors(error))
    return True


@fuzz
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Bytes that nobody meant as YAML."""
    load({"compose.yaml": data})


TOKENS = (
    *(
        "services",
        ":",
        " ",
        "\n",
        "  ",
        "- ",
        "a",
        "image",
        "&x ",
        "*x",
        "<<: ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "'",
        '"',
        "|",
        ">",
        "#",
    ),
    *(
        "!reset ",
        "!override ",
        "!!str ",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "\t",
        "null",
        "~",
        "1",
        "$",
        "${",
        "include",
        "x-y",
    ),
)


@fuzz
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join))
def test_any_yaml_tokens(text: str) -> None:
    """Pieces of YAML in any order."""
    load({"compose.yaml": text.encode()})


@fuzz
@given(projects(), st.data())
def test_broken_projects(files: dict[str, object], data: st.DataObject) -> None:
    """A real project with a few characters cut out or put in."""
    text = emit(files["a.yaml"])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.sampled_from(["", "{", "]", ":", "$", "\x00", "\n", "!reset ", "null", "1", '"', "*"])
        )
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 4)) :]
    load({"compose.yaml": text.encode()})


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
TOP = st.sampled_from(
    ["services", "networks", "volumes", "secrets", "configs", "models", "include", "name", "version", "x-a"]
)


@fuzz
@given(st.dictionaries(TOP, JUNK | st.dictionaries(st.sampled_from("ab"), JUNK, max_size=2), max_size=4))
def test_any_tree(tree: dict[str, object]) -> None:
    """Trees of any shape under the known keys."""
    load({"compose.yaml": json.dumps(tree).encode()})


@fuzz
@given(projects(), st.data())
def test_any_value_in_any_place(files: dict[str, object], data: st.DataObject) -> None:
    """A real project in which one value is replaced by something else."""
    tree = json.loads(json.dumps(files["a.yaml"], default=lambda raw: raw.text))
    node, place = tree, data.draw(st.sampled_from(sorted(tree)))
    while isinstance(node[place], dict | list) and node[place] and data.draw(st.integers(0, 4)):
        node = node[place]
        place = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    node[place] = data.draw(JUNK)
    load({"compose.yaml": json.dumps(tree).encode()})


SHORT = st.sampled_from(
    ["ports", "volumes", "devices", "extra_hosts", "expose", "env_file", "configs", "volumes_from", "links"]
)
TEXTS = st.sampled_from(
    ["mem_limit", "stop_grace_period", "command", "cpus", "image", "restart", "network_mode", "hostname"]
)


@fuzz
@given(
    st.one_of(
        st.tuples(SHORT, st.text(max_size=20).map(lambda text: [text])),
        st.tuples(TEXTS, st.text(max_size=20)),
    )
)
def test_any_short_form(attribute: tuple[str, object]) -> None:
    """Ports, mounts, sizes, durations and templates of any characters."""
    name, value = attribute
    load({"compose.yaml": json.dumps({"services": {"a": {"image": "x", name: value}}}).encode()})


@fuzz
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_env_file(text: str | bytes) -> None:
    """`.env` and `env_file` of any content."""
    data = (
        text
        if isinstance(text, bytes)
        else text.encode(errors="surrogateescape" if text.isascii() else "replace")
    )
    load({"compose.yaml": b"services: {a: {image: x, env_file: a.env}}", ".env": data})
    load({"compose.yaml": b"services: {a: {image: x, env_file: a.env}}", "a.env": data})
    load({"compose.yaml": b"services: {a: {image: x, env_file: {path: a.env, format: raw}}}", "a.env": data})


def alias_bomb(levels: int) -> bytes:
    """Return a file that means 9 ** levels nodes."""
    lines = ["x-0: &x0 [a, a, a, a, a, a, a, a, a]"]
    lines += [f"x-{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join([*lines, "services: {a: {image: x}}"]).encode()


def merge_bomb(levels: int) -> bytes:
    """Return a file whose merge keys double at each level."""
    lines = ["x-0: &x0 {a: 1}"]
    lines += [
        f"x-{n}: &x{n} {{l: *x{n - 1}, r: *x{n - 1}, <<: [*x{n - 1}, *x{n - 1}]}}" for n in range(1, levels)
    ]
    return "\n".join([*lines, "services: {a: {image: x}}"]).encode()


VALID = b"services: {a: {image: x}}\n"
NASTY: dict[str, bytes] = {
    "deep flow": b"services: " + b"[" * 100_000,
    "deep closed flow": b"x-a: " + b"[" * 5000 + b"]" * 5000 + b"\n" + VALID,
    "deep mappings": b"x-a: " + b"{a: " * 5000 + b"1" + b"}" * 5000 + b"\n" + VALID,
    "deep blocks": b"\n".join(b" " * n + b"a:" for n in range(2000)),
    "deep sequences in a line": b"- " * 20_000 + b"a",
    "alias bomb": alias_bomb(12),
    "merge bomb": merge_bomb(40),
    "NUL": b"services: {a: {image: 'x\x00y'}}",
    "NUL alone": b"\x00",
    "escaped NUL": b'services: {a: {image: "x\\0y"}}',
    "UTF-16 of half a character": b"\xff\xfes\x00e",
    "lone continuation bytes": b"services: {a: {image: '\x80\x80'}}",
    "Latin-1": "services: {a: {image: é}}".encode("latin-1"),
    "control characters": b"services: {a: {image: '\x01\x1b[31m'}}",
    "surrogate escape": b'services: {a: {image: "\\ud800"}}',
    "a long line": b"services: {a: {image: '" + b"x" * 1_000_000 + b"'}}",
    "a long key": b"services: {" + b"k" * 200_000 + b": {image: x}}",
    "many keys": b"x-a:\n" + b"".join(b"  k%d: v\n" % n for n in range(20_000)) + VALID,
    "many duplicate keys": b"x-a:\n" + b"  k: v\n" * 20_000 + VALID,
    "many unknown keys": b"services:\n  a:\n    image: x\n"
    + b"".join(b"    k%d: v\n" % n for n in range(2_000)),
    "many services without an image": b"services:\n"
    + b"".join(b"  s%d: {command: x}\n" % n for n in range(500)),
    "a huge number": b"services: {a: {image: x, scale: " + b"9" * 100_000 + b"}}",
    "a huge exponent": b"services: {a: {image: x, cpus: 1e999999999}}",
    "a huge port range": b"services: {a: {image: x, ports: ['1-20000:1-20000']}}",
    "a huge size": b"services: {a: {image: x, mem_limit: " + b"9" * 400 + b"t}}",
    "a huge duration": b"services: {a: {image: x, stop_grace_period: " + b"9" * 400 + b"h}}",
    "deep defaults": b"services: {a: {image: '" + b"${A:-" * 20_000 + b"}" * 20_000 + b"'}}",
    "deep unclosed defaults": b"services: {a: {image: '" + b"${A:-" * 50_000 + b"'}}",
    "many dollars": b"services: {a: {image: '" + b"$" * 500_001 + b"'}}",
    "a tag of our own": b"services: !!python/object/apply:os.system ['true']",
    "a chain of aliases": b"\n".join(b"x-%d: &a%d {b: *a%d}" % (n, n, n - 1) for n in range(1, 500)),
    "a key inside a key": b"? ? ",
    "a key that is a mapping": b"services: {a: {? {b: c} : d}}",
    "a network that is no mapping": b"networks: {'': false}\n" + VALID,
    "an env file without a name": b"services: {a: {image: x, env_file: ['']}}",
    "many documents": b"---\n" * 2000 + VALID,
}


@pytest.mark.parametrize("data", NASTY.values(), ids=NASTY.keys())
def test_nasty_content_ends_soon(data: bytes, tmp_path: Path) -> None:
    """Within two seconds of processor time and 300 MB, with an answer or our own error."""
    (tmp_path / "compose.yaml").write_bytes(data)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    accepted(tmp_path)

    assert time.process_time() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 300 * 1024


@pytest.mark.parametrize("name", ("compose.yaml", ".env"))
def test_a_file_of_ten_megabytes(name: str, tmp_path: Path) -> None:
    """Size alone is no crash: it is read, or refused with a reason."""
    (tmp_path / "compose.yaml").write_bytes(VALID)
    line = b"# " + b"x" * 97 + b"\n"
    (tmp_path / name).write_bytes((VALID if name == "compose.yaml" else b"A=1\n") + line * 105_000)
    started = time.process_time()
    accepted(tmp_path)

    assert time.process_time() - started < 5


def test_a_deep_chain_of_extends(tmp_path: Path) -> None:
    """A thousand services, each of which extends the next."""
    lines = ["services:", *(f"  s{n}: {{extends: s{n + 1}}}" for n in range(1000)), "  s1000: {image: x}"]
    (tmp_path / "compose.yaml").write_text("\n".join(lines))
    accepted(tmp_path)


def test_a_deep_chain_of_includes(tmp_path: Path) -> None:
    """A hundred files, each of which includes the next."""
    for n in range(100):
        (tmp_path / f"f{n}.yaml").write_text(f"include: [f{n + 1}.yaml]\nservices: {{s{n}: {{image: x}}}}\n")
    (tmp_path / "f100.yaml").write_bytes(VALID)
    (tmp_path / "compose.yaml").write_text("include: [f0.yaml]\nservices: {z: {image: x}}")
    accepted(tmp_path)


def test_a_long_chain_of_dependencies(tmp_path: Path) -> None:
    """A thousand services in one line, with and without a cycle at the end."""
    lines = [f"  s{n}: {{image: x, depends_on: [s{n + 1}]}}" for n in range(1000)]
    (tmp_path / "compose.yaml").write_text("\n".join(["services:", *lines, "  s1000: {image: x}"]))
    assert accepted(tmp_path)
    (tmp_path / "compose.yaml").write_text(
        "\n".join(["services:", *lines, "  s1000: {image: x, depends_on: [s0]}"])
    )
    assert not accepted(tmp_path)


def fifo(path: Path) -> None:
    """Make a FIFO that nobody writes to."""
    os.mkfifo(path)


def loop(path: Path) -> None:
    """Make a symlink to itself."""
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    """Make a symlink to nothing."""
    path.symlink_to("nowhere")


def device(path: Path) -> None:
    """Make a symlink to a device that never ends."""
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", (Path.mkdir, fifo, loop, dangling, device))
@pytest.mark.parametrize("name", ("compose.yaml", ".env", "a.env", "inc.yaml", "base.yaml", "l.labels"))
def test_what_is_no_regular_file_ends_soon(name: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    """A folder, a FIFO, a loop of links, a device: an answer at once, never a wait.

    Compose takes a folder named .env for no file at all; an empty FIFO is an empty file.
    """
    attributes = {
        "a.env": "env_file: a.env",
        "base.yaml": "extends: {file: base.yaml, service: b}",
        "l.labels": "label_file: l.labels",
    }
    include = "include: [inc.yaml]\n" if name == "inc.yaml" else ""
    text = f"{include}services: {{a: {{image: x, {attributes.get(name, 'command: y')}}}}}\n"
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)

    started = time.process_time()
    taken = accepted(tmp_path)

    assert time.process_time() - started < 2
    if make in {Path.mkdir, loop, dangling, device} and name != ".env":
        assert not taken


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    """No right to read is said as such (root may read everything, so this one gives the right up)."""
    secret = tmp_path / "compose.yaml"
    secret.write_bytes(VALID)
    secret.chmod(0)
    tmp_path.chmod(0o755)
    child = os.fork()
    if child == 0:
        code = 2
        try:
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)
            ours.load_project(["-f", str(secret), "config"], Path("/"), {})
        except PycomposeError as error:
            code = 0 if "ermission" in str(error) else 3
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
