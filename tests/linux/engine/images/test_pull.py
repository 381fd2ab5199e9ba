"""Pulling from Debian's docker-registry, directly and through a proxy that misbehaves ."""

from __future__ import annotations

import copy
import gzip
import os
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import ArchiveError, AuthError, DigestMismatch, ImageError, PullError
from pycompose.engine.images.manifest import sha256
from pycompose.engine.images.reference import parse
from pycompose.engine.images.registry.auth import Credentials, CredentialStore
from pycompose.engine.images.registry.pull import Progress, Puller
from pycompose.engine.images.registry.transport import Cancelled

from tests.linux.engine.images.conftest import make_layout
from tests.support.faults import Fault, Tokens, faulty
from tests.support.layers import directory, file, tar
from tests.support.leftovers import PATIENCE
from tests.support.registry import PASSWORD, USER, RunningRegistry, registry, skopeo
from tests.support.requires import requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.images.registry.settings import RegistrySettings
    from pycompose.engine.images.spec import Image
    from pycompose.engine.images.store import ImageStore

    Pull = Callable[..., Image]

pytestmark = requires("root", "docker-registry", "skopeo")

NOISE = random.Random(4).randbytes(900_000)  # noqa: S311 - the same every time
BOTTOM = tar(directory("etc"), file("etc/motd", "hello"), file("big", NOISE))
BOTTOM_GZIP = gzip.compress(BOTTOM, mtime=0)
LAYER = f"GET .*/blobs/{sha256(BOTTOM_GZIP)}"
TOP = tar(file("etc/.wh.motd"), file("etc/new", "x"))


@pytest.fixture(scope="session")
def image(plain_registry: RunningRegistry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Put an image of two layers into the registry, return repository:tag."""
    layout = make_layout(
        tmp_path_factory.mktemp("image") / "oci",
        [(BOTTOM_GZIP, BOTTOM, "gzip"), (TOP, TOP, "")],
        Cmd=["sh"],
    )
    skopeo("copy", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{plain_registry.host}/team/app:1")
    return "team/app:1"


@pytest.fixture
def pull(store: ImageStore, settings: RegistrySettings) -> Callable[..., Image]:
    """Return a function that pulls `host/image` into the store."""

    def run(
        reference: str, *, mirrors: tuple[str, ...] = (), notify: Callable[[Progress], None] = lambda _: None
    ) -> Image:
        with Puller(store, replace(settings, mirrors=mirrors)) as puller:
            return puller.pull(parse(reference), notify)

    return run


def wait_for(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def leftovers(store: ImageStore) -> list[str]:
    """Return what a failed pull must not leave: anything but half downloads."""
    store.layout.prepare()
    root = store.paths.images
    return [
        *(name for name in os.listdir(root / "tmp") if not name.endswith(".part")),
        *os.listdir(root / "layers"),
        *(str(entry.digest) for entry in store.layout.index()),
    ]


def parts(store: ImageStore) -> dict[str, int]:
    """Return the sizes of half downloads."""
    return {path.name: path.stat().st_size for path in (store.paths.images / "tmp").glob("*.part")}


def check(store: ImageStore, reference: str) -> None:
    """Check that the image in the store is the one that was pushed."""
    image = store.resolve(reference)
    top, bottom = (Path(lower) for lower in image.trees[0].lowers)
    assert (bottom / "big").read_bytes() == NOISE
    assert (top / "etc/new").read_text() == "x"
    assert image.config.cmd == ("sh",)


def test_an_image_comes_and_is_there_the_second_time(
    store: ImageStore, pull: Pull, plain_registry: RunningRegistry, image: str
) -> None:
    """Layers, configuration and digest; the second pull finds everything."""
    reference = f"{plain_registry.host}/{image}"
    seen: list[Progress] = []

    first = pull(reference, notify=seen.append)
    texts = {event.text for event in seen}
    seen.clear()
    second = pull(reference, notify=seen.append)

    check(store, reference)
    assert first.id == second.id
    assert first.digests == second.digests != ()
    assert {"Pulling fs layer", "Download complete", "Extracting", "Pull complete"} <= texts
    assert {event.text for event in seen} == {"Already exists"}
    assert store.resolve(first.digests[0]).id == first.id
    assert parts(store) == {}
    assert os.listdir(store.paths.images / "tmp") == []


def test_tls_and_passwords(
    loopback: None, store: ImageStore, settings: RegistrySettings, tmp_path: Path
) -> None:
    """An authority of certs.d, and the credentials of config.json; without either it says so."""
    layout = make_layout(tmp_path / "oci", [(TOP, TOP, "")])
    with registry(tmp_path / "registry", tls=True, auth=True) as running:
        reference = parse(f"{running.host}/app:1")
        target = f"docker://{running.host}/app:1"
        skopeo(
            "copy", "--dest-tls-verify=false", "--dest-creds", f"{USER}:{PASSWORD}", f"oci:{layout}", target
        )
        known = replace(settings, certificates=running.certificates)

        with Puller(store, known) as puller, pytest.raises(AuthError, match=r"asks for a user and password"):
            puller.pull(reference, lambda _: None)
        CredentialStore(settings.environment).put(running.host, Credentials(username=USER, password="wrong"))
        with Puller(store, known) as puller, pytest.raises(AuthError, match=r"access denied") as caught:
            puller.pull(reference, lambda _: None)
        CredentialStore(settings.environment).put(running.host, Credentials(username=USER, password=PASSWORD))
        with Puller(store, known) as puller:
            puller.pull(reference, lambda _: None)

    assert "wrong" not in str(caught.value)
    assert store.resolve(str(reference)).id


FAULTS = {
    "dropped, resumed": [Fault(LAYER, drop_after=300_000)],
    "dropped three times": [Fault(LAYER, times=3, drop_after=200_000)],
    "dropped, range ignored": [
        Fault(LAYER, drop_after=300_000), Fault(LAYER, times=3, ignore_range=True),
    ],
    "too many requests": [Fault(r"GET .*/manifests/", status=429, headers={"Retry-After": "0"})],
    "unavailable": [Fault(LAYER, times=2, status=503)],
    "one wrong digest": [Fault(LAYER, flip=1000)],
    "one short body": [Fault(LAYER, cut=5)],
    "slow": [Fault(LAYER, delay_s=0.02)],
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_faults_that_pass(
    store: ImageStore, pull: Pull, plain_registry: RunningRegistry, image: str, case: str
) -> None:
    """The image is complete and right in the end."""
    with faulty(plain_registry.host, *(copy.copy(fault) for fault in FAULTS[case])) as proxy:
        pull(f"{proxy.host}/{image}")

        check(store, f"{proxy.host}/{image}")
        assert all(fault.used for fault in proxy.faults)


def test_a_resumed_download_asks_for_the_rest_only(
    store: ImageStore, pull: Pull, plain_registry: RunningRegistry, image: str
) -> None:
    """Also in another process later: the part is kept, and Range begins where it ends."""
    with faulty(plain_registry.host, Fault(LAYER, times=50, drop_after=0)) as proxy:
        proxy.faults.insert(0, Fault(LAYER, drop_after=400_000))
        with pytest.raises(PullError):
            pull(f"{proxy.host}/{image}")
        kept = max(parts(store).values())
        proxy.faults.clear()
        proxy.seen.clear()

        pull(f"{proxy.host}/{image}")

        ranges = [
            seen.headers["range"] for seen in proxy.requests("GET .*/blobs/") if "range" in seen.headers
        ]
        assert kept > 0
        assert f"bytes={kept}-" in ranges
        check(store, f"{proxy.host}/{image}")


REFUSED = {
    "wrong digest": ([Fault(LAYER, times=99, flip=1000)], DigestMismatch, "wrong content"),
    "too long": ([Fault(LAYER, times=99, extra=b"more")], DigestMismatch, "more than the"),
    "wrong manifest": ([Fault(r"GET .*/manifests/", times=99, flip=30)], ImageError, ""),
    "gone": ([Fault(LAYER, times=99, status=404)], PullError, "not found"),
    "always busy": ([Fault(r"GET .*/manifests/", times=99, status=429, headers={"Retry-After": "0"})], PullError,
                    "too many requests"),
    "not a manifest": ([Fault(r"GET .*/manifests/", times=99, status=200, body=b"<html>")], ImageError, "not JSON"),
    "redirect out": ([Fault(LAYER, times=99, status=307, headers={"Location": "http://169.254.169.254/x"})],
                     PullError, "link-local"),
    "redirect to a file": ([Fault(LAYER, times=99, status=307, headers={"Location": "file:///etc/passwd"})],
                           PullError, "not an http or https URL"),
    "redirects for ever": ([Fault(LAYER, times=99, status=307, headers={"Location": "?again"})],
                           PullError, "redirects"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_faults_that_stay(
    store: ImageStore, pull: Pull, plain_registry: RunningRegistry, image: str, case: str
) -> None:
    """It fails, says which image and why, and leaves nothing behind."""
    faults, kind, reason = REFUSED[case]
    with (
        faulty(plain_registry.host, *(copy.copy(fault) for fault in faults)) as proxy,
        pytest.raises(kind, match=rf"^image {proxy.host}/team/app:1: .*{reason}"),
    ):
        pull(f"{proxy.host}/{image}")

    assert leftovers(store) == []


def test_a_wrong_diff_id_is_refused(
    store: ImageStore, pull: Pull, plain_registry: RunningRegistry, tmp_path: Path
) -> None:
    """The blob is right, but unpacks to something else than the configuration says."""
    layout = make_layout(tmp_path / "oci", [(gzip.compress(BOTTOM), TOP, "gzip")])
    skopeo("copy", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{plain_registry.host}/lie:1")

    with pytest.raises(DigestMismatch, match=r"layer 1 of 1 .*: wrong content: expected sha256:"):
        pull(f"{plain_registry.host}/lie:1")

    assert leftovers(store) == []


def test_tokens_run_out_on_the_way(
    store: ImageStore, pull: Pull, plain_registry: RunningRegistry, image: str, settings: RegistrySettings
) -> None:
    """A new token is fetched for each 401; the scope is this repository's."""
    with faulty(plain_registry.host, tokens=Tokens(user="u", password="p", uses=3)) as proxy:
        CredentialStore(settings.environment).put(proxy.host, Credentials(username="u", password="p"))
        pull(f"{proxy.host}/{image}")

        assert proxy.tokens is not None
        assert len(proxy.tokens.issued) > 1
        assert set(proxy.tokens.scopes) == {"repository:team/app:pull"}
        basic = [
            seen.path for seen in proxy.seen if seen.headers.get("authorization", "").startswith("Basic")
        ]
        assert all(path.startswith("/token") for path in basic)
    check(store, f"{proxy.host}/{image}")


def test_wrong_credentials_are_told(
    pull: Pull, plain_registry: RunningRegistry, image: str, settings: RegistrySettings
) -> None:
    """With the token service's own words, and what to do; not with the password."""
    with faulty(plain_registry.host, tokens=Tokens(user="u", password="p")) as proxy:
        CredentialStore(settings.environment).put(proxy.host, Credentials(username="u", password="s3cret"))
        with pytest.raises(AuthError, match=r"refused: UNAUTHORIZED: wrong password") as caught:
            pull(f"{proxy.host}/{image}")

    assert caught.value.hint == f"log in with: pycompose login {proxy.host}"
    assert "s3cret" not in str(caught.value)


def test_cve_2020_15157_credentials_do_not_follow_to_another_origin(
    store: ImageStore, pull: Pull, plain_registry: RunningRegistry, image: str
) -> None:
    """CVE-2020-15157's kind: blobs come from another host, which sees no Authorization."""
    with (
        faulty(plain_registry.host) as elsewhere,
        faulty(plain_registry.host, tokens=Tokens()) as proxy,
    ):
        name = image.partition(":")[0]
        for blob in (plain_registry.root / "docker/registry/v2/blobs/sha256").glob("*/*"):
            place = f"http://{elsewhere.host}/v2/{name}/blobs/sha256:{blob.name}"
            proxy.faults.append(Fault(f"GET .*/blobs/sha256:{blob.name}", 9, 307, {"Location": place}))
        pull(f"{proxy.host}/{image}")

        assert proxy.requests("GET .*/blobs/")[-1].headers["authorization"].startswith("Bearer ")
        assert elsewhere.requests("GET .*/blobs/")
        assert not any("authorization" in seen.headers for seen in elsewhere.seen)
    check(store, f"{proxy.host}/{image}")


def test_mirrors_of_docker_hub_come_first(
    store: ImageStore, pull: Pull, plain_registry: RunningRegistry, image: str
) -> None:
    """A broken mirror is passed over; they get no credentials."""
    with (
        faulty(plain_registry.host, Fault("GET", times=99, status=404)) as broken,
        faulty(plain_registry.host) as good,
    ):
        pull(image, mirrors=(f"http://{broken.host}", f"http://{good.host}"))

        assert broken.seen
        assert good.requests("GET .*/blobs/")
        assert not any("authorization" in seen.headers for seen in (*broken.seen, *good.seen))
    check(store, image)


def test_a_broken_layer_beside_one_that_is_being_unpacked(
    store: ImageStore, pull: Pull, plain_registry: RunningRegistry, tmp_path: Path
) -> None:
    """The error is that of the broken one; whoever still unpacks is waited for, and leaves nothing."""
    many = tar(*(file(f"f{number}") for number in range(20_000)))
    broken = many[: 512 * 5_000] + b"no tar" * 200
    layers = [(gzip.compress(plain, mtime=0), plain, "gzip") for plain in (broken, many)]
    layout = make_layout(tmp_path / "oci", layers)
    reference = f"{plain_registry.host}/broken:1"
    skopeo("copy", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{reference}")

    with pytest.raises(ArchiveError, match=r"layer 1 of 2"):
        pull(reference)

    assert leftovers(store) == []


def test_cancelling_keeps_the_parts(
    store: ImageStore, plain_registry: RunningRegistry, image: str, settings: RegistrySettings
) -> None:
    """Ctrl+C while bytes come: it ends soon, and the next pull goes on from there."""
    begun = threading.Event()

    def notify(progress: Progress) -> None:
        if progress.current > 100_000:
            begun.set()

    failure: list[BaseException] = []

    def work(puller: Puller, reference: str) -> None:
        try:
            puller.pull(parse(reference), notify)
        except (Cancelled, ImageError) as exc:
            failure.append(exc)

    def interrupted(reference: str) -> None:
        with Puller(store, settings) as puller:
            thread = threading.Thread(target=work, args=(puller, reference))
            thread.start()
            assert begun.wait(20 * PATIENCE)
            raise KeyboardInterrupt

    with faulty(plain_registry.host, Fault(LAYER, times=9, delay_s=0.2)) as proxy:
        with pytest.raises(KeyboardInterrupt):
            interrupted(f"{proxy.host}/{image}")
        wait_for(lambda: bool(failure))
        assert isinstance(failure[0], (Cancelled, ImageError))
        assert sum(parts(store).values()) > 0
        proxy.faults.clear()
        with Puller(store, settings) as puller:
            puller.pull(parse(f"{proxy.host}/{image}"), notify)
    check(store, f"{proxy.host}/{image}")


def test_many_pull_the_same_image_at_once(
    store: ImageStore, plain_registry: RunningRegistry, image: str, settings: RegistrySettings
) -> None:
    """Several `up`s: each blob is downloaded once, all end well."""
    with faulty(plain_registry.host) as proxy:
        results: list[str] = []

        def work() -> None:
            with Puller(type(store)(store.paths), settings) as puller:
                results.append(puller.pull(parse(f"{proxy.host}/{image}"), lambda _: None).id)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(results) == 4
        assert len(set(results)) == 1
        blobs = [seen.path for seen in proxy.requests("GET .*/blobs/")]
        assert len([path for path in blobs if blobs.count(path) > 1 and "sha256" in path]) <= 4
    check(store, f"{proxy.host}/{image}")
