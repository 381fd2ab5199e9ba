"""`pycompose kube` with what it takes from the rest: images that are built, pushed, and known here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.e2e.test_flags import registered
from tests.support.scenario import REPOSITORY
from tests.unit.kube.test_documents import kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.scenario import Host

COMPOSE = """
name: shop
services:
  api: {build: ., user: shopper, ports: [80]}
  db: {image: "REGISTRY/db"}
"""
DOCKERFILE = """
FROM busybox
RUN echo shopper:x:12:34:::/bin/sh >>/etc/passwd
EXPOSE 7000
"""


@contextmanager
def cluster(host: Host, folder: Path) -> Iterator[Mapping[str, str]]:
    """Serve an empty cluster on the machine; yields the environment in which kubectl finds it."""
    folder.mkdir()
    argv = [sys.executable, "-m", "tests.support.kube_api", str(folder)]
    server = host.inside(
        lambda: subprocess.Popen(argv, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    )
    assert isinstance(server, subprocess.Popen)
    with server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        programs = f"{host.environment['PATH']}:{os.path.dirname(kubectl())}"
        yield {"KUBECONFIG": str(folder / "kubeconfig"), "PATH": programs}
        assert server.stdin is not None
        server.stdin.close()
        server.wait(10)


def images_of(host: Host, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the images of the cluster's Deployments."""
    said = host.command([kubectl(), "get", "deployments", "-o", "json"], env=environment).ok()
    return {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"]
        for item in json.loads(said.stdout)["items"]
    }


def test_tags_are_resolved_without_a_push(busy: Host, tmp_path: Path) -> None:
    """Every command that converts does it; what was pushed by its own name is the same image for `diff`."""
    with (
        registered(busy, tmp_path / "registry") as address,
        cluster(busy, tmp_path / "cluster") as environment,
    ):
        text = COMPOSE.replace("REGISTRY", address).replace("build: .", f'build: ., image: "{address}/api:2"')
        folder = busy.project({"compose.yaml": text, "Dockerfile": DOCKERFILE}, "shop")
        busy.run("image", "tag", "busybox", f"{address}/db").ok()
        busy.run("image", "push", f"{address}/db").ok()
        missing = busy.run("kube", "generate", "--resolve-digests", cwd=folder)
        assert (missing.code, missing.stdout) == (1, "")
        assert f"image {address}/api:2: cannot find its digest" in missing.stderr
        busy.run("kube", "apply", "--push", address, cwd=folder, env=environment, timeout_s=80).ok()
        pushed = images_of(busy, environment)
        assert pushed["api"].startswith(f"{address}/api@sha256:")
        assert pushed["db"] == f"{address}/db"
        said = busy.run("kube", "generate", "-q", "--resolve-digests", cwd=folder).ok().stdout
        assert f"image: {json.dumps(pushed['api'])}" in said or f"image: {pushed['api']}\n" in said
        busy.run("kube", "apply", "--resolve-digests", cwd=folder, env=environment).ok()
        both = images_of(busy, environment)
        assert both["api"] == pushed["api"]
        assert both["db"].startswith(f"{address}/db@sha256:")
        assert busy.run("kube", "diff", "--resolve-digests", cwd=folder, env=environment).code == 0


def test_nothing_is_pushed_for_what_can_not_be(busy: Host, tmp_path: Path) -> None:
    """Errors come before the first build, and a rehearsal builds nothing."""
    with (
        registered(busy, tmp_path / "registry") as address,
        cluster(busy, tmp_path / "cluster") as environment,
    ):
        folder = busy.project({"Dockerfile": DOCKERFILE}, "shop")

        def tried(services: str, *words: str) -> tuple[int, str]:
            (folder / "compose.yaml").write_text(f"name: shop\nservices: {{{services}}}\n", encoding="utf-8")
            done = busy.run("kube", "apply", *words, cwd=folder, env=environment)
            assert "Building" not in done.stderr
            return done.code, done.stderr

        code, said = tried("a: {build: .}", "--push", f"{address}/shop", "--dry-run")
        assert code == 0, said
        code, said = tried("a: {build: .}, b: {image: host}", "--push", f"{address}/shop")
        assert code == 1
        assert "services.b.image: host is this machine's own" in said
        code, said = tried("a: {build: .}", "--push", f"{address}/SHOP")
        assert code == 1
        assert "invalid reference" in said
        code, said = tried("a: {build: ., image: one/x}, b: {build: ., image: two/x}", "--push", address)
        assert code == 1
        assert f"would both be {address}/x:latest" in said


def test_images_go_to_a_registry(busy: Host, tmp_path: Path) -> None:
    """Built ones are pushed and named by digest, others by the digest of their tag; users and ports are the image's."""
    with (
        registered(busy, tmp_path / "registry") as address,
        cluster(busy, tmp_path / "cluster") as environment,
    ):
        folder = busy.project(
            {"compose.yaml": COMPOSE.replace("REGISTRY", address), "Dockerfile": DOCKERFILE}, "shop"
        )
        busy.run("image", "tag", "busybox", f"{address}/db").ok()
        busy.run("image", "push", f"{address}/db").ok()
        words = ("apply", "--push", f"{address}/shop", "--resolve-digests")
        busy.run("kube", *words, cwd=folder, env=environment).ok()
        said = busy.command([kubectl(), "get", "deployments", "-o", "json"], env=environment).ok()
        items = json.loads(said.stdout)["items"]
    found = {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in items}
    (api,) = found["api"]["containers"]
    assert api["image"].startswith(f"{address}/shop/shop-api@sha256:")
    assert api["securityContext"] == {"runAsUser": 12, "runAsGroup": 34}
    assert [port["containerPort"] for port in api["ports"]] == [80, 7000]
    assert found["db"]["containers"][0]["image"].startswith(f"{address}/db@sha256:")
