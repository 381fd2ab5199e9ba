"""Debian's docker-registry on loopback, with TLS and htpasswd when asked, for one test or one benchmark."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "tester"
PASSWORD = "s3cret-w0rd"
# bcrypt is the only kind of hash that the registry takes.
PASSWORD_BCRYPT = "$2b$04$jzLwFzmcq.NqqpeBVn4t..uKEvYL59zWYifvr1fYCyFmlth2Ewh5K"


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    """A registry that answers; `certificates` is a directory as /etc/docker/certs.d."""

    host: str
    root: Path
    certificates: Path
    tls: bool
    auth: bool


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def registry(directory: Path, *, tls: bool = False, auth: bool = False) -> Iterator[RunningRegistry]:
    """Run a registry whose data lies in `directory`; it is up when the block begins."""
    host = f"127.0.0.1:{free_port()}"
    certificates = directory / "certs.d"
    root = directory / "data"
    root.mkdir(parents=True)
    config = {
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(root),
        "REGISTRY_STORAGE_DELETE_ENABLED": "true",
        "REGISTRY_HTTP_ADDR": host,
        "REGISTRY_LOG_LEVEL": "error",
        "OTEL_TRACES_EXPORTER": "none",
    }
    if tls:
        key, certificate = make_certificate(directory)
        (certificates / host).mkdir(parents=True)
        shutil.copy(certificate, certificates / host / "ca.crt")
        config |= {"REGISTRY_HTTP_TLS_CERTIFICATE": str(certificate), "REGISTRY_HTTP_TLS_KEY": str(key)}
    if auth:
        htpasswd = directory / "htpasswd"
        htpasswd.write_text(f"{USER}:{PASSWORD_BCRYPT}\n", encoding="ascii")
        config |= {"REGISTRY_AUTH_HTPASSWD_REALM": "test", "REGISTRY_AUTH_HTPASSWD_PATH": str(htpasswd)}
    file = directory / "config.yml"
    file.write_text("version: 0.1\nstorage:\n  filesystem: {}\nhttp:\n  secret: x\n", encoding="ascii")
    log = directory / "registry.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(file)],
            env={"PATH": os.environ["PATH"], **config},
            stdout=out,
            stderr=out,
        )
    try:
        _wait_until_up(host, process, tls=tls, log=log)
        yield RunningRegistry(host, root, certificates, tls, auth)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_until_up(host: str, process: subprocess.Popen[bytes], *, tls: bool, log: Path) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"docker-registry ended: {log.read_text()}")
        context = ssl._create_unverified_context() if tls else None  # noqa: S323 - only asks whether it is up
        connection = (
            http.client.HTTPSConnection(host, context=context) if tls else http.client.HTTPConnection(host)
        )
        try:
            connection.request("GET", "/v2/")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.02)
        else:
            return
        finally:
            connection.close()
    raise RuntimeError(f"docker-registry does not answer: {log.read_text()}")


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1 and localhost; return key and certificate."""
    key, certificate = directory / "key.pem", directory / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=pycompose tests",
            "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=critical,CA:TRUE",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return key, certificate


def skopeo(*args: str | Path) -> str:
    """Run skopeo, return its output."""
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *map(str, args)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"skopeo {' '.join(map(str, args))}: {done.stderr}")
    return done.stdout
