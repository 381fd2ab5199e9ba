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
    # A folder of its own: BuildKit takes a file of the same name, size and time for the one it had before.
    context = folder / f"context-{hashlib.sha256(case.key.encode()).hexdigest()[:12]}"
    context.mkdir()
    case.write(context)
    build: dict[str, Any] = {"context": str(context), "args": {}}
    for flag in case.flags:
        name, _, value = flag.partition("=")
        if name.startswith("arg:"):
            build["args"][name.removeprefix("arg:")] = value
        else:
            build[name] = value
    compose = {"services": {"x": {"image": IMAGE, "build": build}}}
    (folder / "compose.yaml").write_text(json.dumps(compose), encoding="utf-8")
    done = docker(
        "docker-compose-240",
        "--project-directory",
        folder,
        "-f",
        folder / "compose.yaml",
        "build",
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode().strip().splitlines()
        return {"error": lines[-1] if lines else ""}
    (inspected,) = json.loads(docker("docker", "image", "inspect", IMAGE).stdout)
    saved = io.BytesIO(docker("docker", "save", IMAGE).stdout)
    history = _history(saved)
    found = {"config": configuration(inspected, history), "tree": tree(io.BytesIO(exported(IMAGE)), base)}
    docker("docker", "image", "rm", "-f", IMAGE)
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
    known = {case.key for case in cases}
    kept = {key: value for key, value in sorted(answers.items()) if key in known}
    ANSWERS.write_text(
        json.dumps(kept, indent=0, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
