"""Have the real builder answer again: `python -m tests.e2e.builds.regenerate [PART OF A KEY…]`.

Needs a Docker Engine with Compose in the namespaces of PYCOMPOSE_PEERS_PID, and a folder that both see
(PYCOMPOSE_PEERS_DIR). The image `busybox` there becomes that of our own tests.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.builds.corpus import ANSWERS, Case, configuration, load_cases, stored, tree
from tests.support.rootfs import build_tar

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
IMAGE = "pycompose-corpus:1"
PROJECT = "pycompose-corpus"


def docker(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run a command beside the real engine."""
    enter = ["nsenter", "-t", os.environ["PYCOMPOSE_PEERS_PID"], "-m", "-n", "-p", "-u", "-i", "--"]
    done = subprocess.run([*enter, *map(str, arguments)], capture_output=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{arguments}: {done.stderr.decode()}")
    return done


def exported(image: str) -> bytes:
    """Return the image's whole file system as a tar."""
    name = docker("docker", "create", image, "x").stdout.decode().strip()
    try:
        return docker("docker", "export", name).stdout
    finally:
        docker("docker", "rm", name)


def answer(case: Case, folder: Path, base: dict[str, Any]) -> dict[str, Any]:
    """Return the real builder's image, or its error."""
    # A folder with a name of its own: BuildKit takes a file of the same name, size and time for what it had before.
    context = folder / f"{folder.name}-{hashlib.sha256(case.key.encode()).hexdigest()[:12]}"
    context.mkdir()
    case.write(context)
    if case.compose:
        return _built(context / "compose.yaml", case.compose, base)
    build: dict[str, Any] = {"context": str(context), "args": {}}
    for flag in case.flags:
        name, _, value = flag.partition("=")
        if name.startswith("arg:"):
            build["args"][name.removeprefix("arg:")] = value
        else:
            build[name] = value
    project = {"services": {"x": {"image": IMAGE, "build": build}}}
    return _built(folder / "compose.yaml", json.dumps(project), base)


def _built(file: Path, text: str, base: dict[str, Any]) -> dict[str, Any]:
    """Build the service x of a compose file that lies in the project's folder."""
    file.write_text(text, encoding="utf-8")
    command = ["docker-compose-240", "-p", PROJECT, "-f", file, "--project-directory", file.parent]
    done = docker(*command, "build", check=False)
    if done.returncode:
        lines = done.stderr.decode().strip().splitlines() or [""]
        if "Unavailable" in lines[-1] or "Cannot connect" in lines[-1]:
            raise RuntimeError(f"the engine has died: {lines[-1]}")
        return {"error": lines[-1]}
    services = json.loads(docker(*command, "config", "--format", "json").stdout)["services"]
    image = services["x"].get("image") or f"{PROJECT}-x"
    (inspected,) = json.loads(docker("docker", "image", "inspect", image).stdout)
    saved = io.BytesIO(docker("docker", "save", image).stdout)
    history = _history(saved)
    found = {"config": configuration(inspected, history), "tree": tree(io.BytesIO(exported(image)), base)}
    images = docker(*command, "config", "--images").stdout.decode().split()
    docker("docker", "image", "rm", "-f", *images, check=False)
    return found


def _history(saved: io.BytesIO) -> list[dict[str, Any]]:
    import tarfile  # noqa: PLC0415 - here only

    with tarfile.open(fileobj=saved) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        config = json.loads(file.read())[0]["Config"]
        document = tar.extractfile(config)
        assert document is not None
        history: list[dict[str, Any]] = json.loads(document.read())["history"]
        return history


def main() -> int:
    """Answer all cases, or those whose keys contain one of the arguments."""
    wanted = sys.argv[1:]
    answers = stored() if ANSWERS.exists() else {}
    cases = load_cases()
    with tempfile.TemporaryDirectory(dir=os.environ["PYCOMPOSE_PEERS_DIR"]) as name:
        folder = Path(name)
        folder.chmod(0o755)
        tar = build_tar(folder / "busybox.tar", folder / "tree")
        docker("docker", "import", "-c", 'CMD ["sh"]', "-c", f"ENV {PATH}", tar, "busybox")
        base = tree(io.BytesIO(exported("busybox")))
        for case in cases:
            if (wanted or case.key in answers) and not any(part in case.key for part in wanted):
                continue
            answers[case.key] = answer(case, folder, base)
            print(case.key, "->", answers[case.key].get("error", "built"), flush=True)
            write(answers, cases)
    write(answers, cases)
    return 0


def write(answers: dict[str, Any], cases: list[Case]) -> None:
    """Store the answers of the cases that there are."""
    known = {case.key for case in cases}
    kept = {key: value for key, value in sorted(answers.items()) if key in known}
    text = json.dumps(kept, indent=0, ensure_ascii=False, sort_keys=True)
    whole = ANSWERS.with_suffix(".part")
    whole.write_text(text + "\n", encoding="utf-8")
    whole.rename(ANSWERS)


if __name__ == "__main__":
    sys.exit(main())
