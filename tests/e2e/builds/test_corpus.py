"""Builds of the corpus, compared with what the real builder made of the same contexts (`regenerate.py`)."""

from __future__ import annotations

import io
import json
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.builds.corpus import DIFFERENCES, Case, configuration, stored, tree, wanted_cases

if TYPE_CHECKING:
    from tests.support.scenario import Host

PROJECT = "pycompose-corpus"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ours(host: Host, case: Case, folder: Path, base: dict[str, Any]) -> dict[str, Any]:
    """Return what we make of a case, in the shape of the stored answers."""
    if case.compose:
        (folder / "compose.yaml").write_text(case.compose, encoding="utf-8")
        command = ["-p", PROJECT, "build"]
    else:
        flags = []
        for flag in case.flags:
            name, _, value = flag.partition("=")
            flags += (
                ["--build-arg", f"{name[4:]}={value}"] if name.startswith("arg:") else [f"--{name}", value]
            )
        command = ["image", "build", "-t", "corpus", *flags, "-o", "type=tar,dest=../out.tar", "."]
    done = host.run(*command, cwd=folder)
    if done.code:
        assert "internal error" not in done.stderr
        assert "Traceback" not in done.stderr
        return {"error": done.stderr}
    image = "corpus"
    if case.compose:
        services = json.loads(host.run("-p", PROJECT, "config", "--format", "json", cwd=folder).ok().stdout)
        image = services["services"]["x"].get("image") or f"{PROJECT}-x"
        again = ["image", "build", "-o", "type=tar,dest=out.tar", "-"]
        host.run(*again, cwd=folder.parent, stdin=f"FROM {image}\n").ok()
    with (folder.parent / "out.tar").open("rb") as file:
        found = tree(file, base)
    host.run("image", "save", "-o", folder.parent / "saved.tar", image).ok()
    document = saved_document(folder.parent / "saved.tar")
    inspected = {"Config": document["config"], "Author": document.get("author")}
    return {"config": configuration(inspected, document["history"]), "tree": found}


def saved_document(saved: Path) -> dict[str, Any]:
    """Return a saved image's configuration; it costs less than another command that shows it."""
    import tarfile  # noqa: PLC0415 - here only

    with tarfile.open(saved) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        document = tar.extractfile(json.loads(file.read())[0]["Config"])
        assert document is not None
        found: dict[str, Any] = json.loads(document.read())
        return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("topic", sorted({case.topic for case in wanted_cases()}))
def test_images_are_the_same(busy: Host, tmp_path: Path, topic: str) -> None:
    """Configuration, history and every path with type, mode, owner, size, content, link: equal, or listed why not."""
    answers = stored()
    reasons = tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))
    busy.run("image", "import", "-c", 'CMD ["sh"]', "-c", f"ENV {PATH}", _tar(busy), "busybox").ok()
    (tmp_path / "base").mkdir()
    (tmp_path / "base/Dockerfile").write_text("FROM busybox\n", encoding="ascii")
    busy.run("image", "build", "-o", "type=tar,dest=../base.tar", ".", cwd=tmp_path / "base").ok()
    base = tree(io.BytesIO((tmp_path / "base.tar").read_bytes()))
    wrong: dict[str, Any] = {}
    for case in wanted_cases():
        if case.topic != topic:
            continue
        folder = tmp_path / "case/context"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        got = ours(busy, case.write(folder) and case, folder, base)
        problem = compare(answers[case.key], got)
        if problem and case.key not in reasons:
            wrong[case.key] = problem
        elif not problem and case.key in reasons:
            wrong[case.key] = "is the same by now: remove it from differences.toml"
    for key, problem in wrong.items():
        print(f"WRONG {key}: {problem}")
    assert not wrong, f"{len(wrong)} differ"


def compare(theirs: dict[str, Any], got: dict[str, Any]) -> Any:
    """Return what differs, nothing when nothing does; of errors only that there is one."""
    if "error" in theirs or "error" in got:
        return (
            None
            if "error" in theirs and "error" in got
            else {"theirs": theirs.get("error"), "ours": got.get("error")}
        )
    found = {}
    for part in ("config", "tree"):
        for key in sorted({*theirs[part], *got[part]}):
            if theirs[part].get(key) != got[part].get(key):
                found[f"{part} {key}"] = (theirs[part].get(key), got[part].get(key))
    return found


def _tar(host: Host) -> Path:
    from tests.support.rootfs import build_tar  # noqa: PLC0415 - its fixture is the session's

    folder = host.folder / "corpus-base"
    folder.mkdir(exist_ok=True)
    return build_tar(folder / "busybox.tar", folder / "tree")
