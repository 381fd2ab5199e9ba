"""What is written down of containers, volumes and images, in dockerd's words: events, histories, names."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from docker.errors import APIError

if TYPE_CHECKING:
    import docker

    from tests.support.served import Served


@pytest.mark.timeout(150)
def test_volumes_are_mounted_for_each_run(sdk: docker.DockerClient) -> None:
    """And who is removed while he runs is killed, not stopped (recorded from dockerd 26.1)."""
    sdk.volumes.create("vol")
    one = sdk.containers.create("busybox", ["sleep", "1000"], volumes=["vol:/rw", "vol:/ro:ro", "/anonymous"])
    anonymous = next(m["Name"] for m in one.attrs["Mounts"] if m["Destination"] == "/anonymous")
    heard = sdk.events(decode=True, filters={"type": ["container", "volume"]})
    one.start()
    one.restart(timeout=0)
    one.remove(force=True, v=True)
    told: list[tuple[str, str, str]] = []
    while {kind for kind, action, _ in told if action == "destroy"} != {"container", "volume"}:  # by two ways
        event = next(heard)
        actor = event["Actor"]
        at = actor["Attributes"].get("destination", "")
        told.append((event["Type"], event["Action"], at or actor["ID"].replace(one.id, "one")))
        if event["Action"] in ("mount", "unmount"):
            assert actor["Attributes"]["container"] == one.id
            assert actor["Attributes"]["driver"] == "local"
            assert actor["ID"] == (anonymous if at == "/anonymous" else actor["ID"])
        if event["Action"] == "mount":
            assert actor["Attributes"]["read/write"] == ("false" if at == "/ro" else "true")
            assert actor["Attributes"]["propagation"] == ""
    heard.close()
    mounts = [("volume", "mount", place) for place in ("/anonymous", "/ro", "/rw")]
    unmounts = sorted([("volume", "unmount", name) for name in (anonymous, "vol", "vol")])
    volumes = [entry for entry in told if entry[0] == "volume"]
    assert [sorted(volumes[at : at + 3]) for at in (0, 3, 6, 9)] == [mounts, unmounts] * 2
    assert volumes[12:] == [("volume", "destroy", anonymous)]
    assert [action for kind, action, _ in told if kind == "container"] == [
        "start", "kill", "die", "stop", "start", "restart", "kill", "die", "destroy",
    ]  # fmt: skip


@pytest.mark.timeout(150)
def test_how_images_came_to_be(served: Served, sdk: docker.DockerClient) -> None:
    """By which command of the container, from where; and instructions that can't be are the client's mistake."""
    one = sdk.containers.create("busybox", ["sleep", "1000"], name="one", labels={"a": "b"})
    heard = sdk.events(decode=True, filters={"event": "commit"})
    changes = 'CMD ["other"]\nENTRYPOINT first\nENV A=b\nENV B=$A'
    made = one.commit("new", "1", changes=changes, message="words", conf={"User": "app"})
    newest = sdk.images.get("new:1").history()[0]
    assert (newest["CreatedBy"], newest["Comment"]) == ("sleep 1000", "words")
    config = made.attrs["Config"]
    assert (config["Cmd"], config["Entrypoint"]) == (["other"], ["/bin/sh", "-c", "first"])
    assert (config["User"], config["Env"][:2], config["Labels"]) == ("app", ["A=b", "B=b"], {"a": "b"})
    told = next(heard)
    heard.close()
    assert (told["Type"], told["id"], told["from"]) == ("container", one.id, "busybox")
    assert told["Actor"]["Attributes"] == {
        "a": "b",
        "comment": "words",
        "image": "busybox",
        "imageID": made.id,
        "imageRef": "new:1",
        "name": "one",
    }
    file = io.BytesIO()
    tarfile.open(fileobj=file, mode="w").close()
    sdk.api.import_image_from_data(file.getvalue(), "new", "2")
    assert sdk.images.get("new:2").history()[0]["Comment"] == "Imported from -"
    for change in ("BOGUS x", "RUN x", "EXPOSE foo", "ENV", "HEALTHCHECK bogus"):
        with pytest.raises(APIError) as error:
            one.commit("new", "3", changes=change)
        assert error.value.status_code == 400
        with pytest.raises(APIError) as error:
            sdk.api.import_image_from_data(file.getvalue(), "new", "3", changes=[change])
        assert error.value.status_code == 400
    # Aliases are those that were asked for; clients before API 1.45 find the id among them.
    network = sdk.networks.create("net")
    network.connect(one, aliases=["asked"])
    for version, more in (("1.45", []), ("1.44", [str(one.id)[:12]])):
        networks = served.get(f"/v{version}/containers/one/json")["NetworkSettings"]["Networks"]
        assert networks["net"]["Aliases"] == ["asked", *more]
        assert networks["bridge"]["Aliases"] is None
    one.remove()
    network.remove()
