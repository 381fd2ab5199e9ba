"""python-on-whales, told which program docker is: its calls, each with what has to come of it."""

from __future__ import annotations

import sys
from pathlib import Path

from python_on_whales import DockerClient

program, scratch = sys.argv[1], Path(sys.argv[2])
# Docker's own command line upon our API has no buildx that could do anything.
own = program != "docker"
docker = DockerClient(client_call=[program, "docker"] if own else ["docker"], compose_files=["compose.yaml"])
version = docker.version()
assert version.client is not None
assert version.client.version
assert version.server is not None
assert version.server.version
assert docker.system.info().containers == 0
assert docker.system.info().security_options
assert [context.name for context in docker.context.list()] == ["default"]
assert not own or docker.buildx.version()
assert docker.system.disk_free().images is not None

docker.compose.up(detach=True, quiet=True)
assert [container.name for container in docker.compose.ps()] == ["whales-web-1"]
assert [project.name for project in docker.compose.ls()] == ["whales"]
assert (docker.compose.config().services or {})["web"].image == "busybox"
assert docker.compose.execute("web", ["echo", "hi"], tty=False) == "hi"
assert docker.compose.port("web", 80)[1]
docker.compose.pause()
docker.compose.unpause()
docker.compose.restart(timeout=0)
docker.compose.stop(timeout=0)
docker.compose.start()
assert docker.compose.run("web", ["echo", "one"], remove=True, tty=False) == "one"
assert docker.compose.version()
docker.compose.kill()
docker.compose.rm()
docker.compose.down(volumes=True, timeout=0)

container = docker.run(
    "busybox",
    ["sleep", "1000"],
    detach=True,
    name="w1",
    labels={"a": "b"},
    publish=[(0, 80)],
    volumes=[("vol", "/v")],
)
assert [one.name for one in docker.container.list(filters=[("label", "a=b")])] == ["w1"]
assert container.state.status == "running"
assert container.config.labels == {"a": "b"}
assert container.mounts[0].destination == "/v"
assert "root" in str(docker.execute("w1", ["id"]))
assert docker.stats()[0].container_name == "w1"
docker.copy("/etc/hostname", ("w1", "/tmp/hn"))
docker.container.rename("w1", "w2")
docker.pause("w2")
docker.unpause("w2")
assert "/tmp/hn" in docker.container.diff("w2")
docker.container.commit("w2", "made:1")
docker.container.export("w2", scratch / "export.tar")
docker.container.restart("w2", time=0)
docker.container.stop("w2", time=0)
docker.container.start("w2")
docker.container.kill("w2", signal="KILL")
assert docker.container.wait("w2") == 137
docker.container.remove("w2", force=True, volumes=True)
docker.container.create("busybox", ["true"], name="w3")
docker.container.prune()
assert not docker.container.exists("w3")

assert ["made:1"] in [image.repo_tags for image in docker.image.list()]
image = docker.image.inspect("busybox")
assert image.size > 0
assert image.config is not None
docker.image.tag("busybox", "b2:x")
assert docker.image.exists("b2:x")
assert not docker.image.exists("nothing")
assert not docker.network.exists("nothing")
assert not docker.volume.exists("nothing")
(scratch / "Dockerfile").write_text("FROM busybox\nRUN echo built >/it\n")
if own:
    docker.build(scratch, tags="built:1", load=True)
else:
    docker.legacy_build(scratch, tags="built:1")
assert docker.image.inspect("built:1").repo_tags == ["built:1"]
docker.image.remove("built:1")
docker.image.save("busybox", scratch / "saved.tar")
docker.image.load(scratch / "saved.tar")
docker.image.remove("b2:x")
docker.image.remove("made:1")

network = docker.network.create("nn", labels={"q": "r"})
assert ("nn", "bridge") in [(one.name, one.driver) for one in docker.network.list()]
assert network.ipam.config
assert network.labels == {"q": "r"}
docker.run("busybox", ["sleep", "100"], detach=True, name="w4")
docker.network.connect("nn", "w4")
docker.network.disconnect("nn", "w4")
docker.remove("w4", force=True)
docker.network.remove("nn")

volume = docker.volume.create("vv", labels={"k": "v"})
assert volume.labels == {"k": "v"}
assert volume.created_at
assert "vv" in [one.name for one in docker.volume.list()]
docker.volume.remove("vv")
docker.volume.remove("vol")
docker.system.prune()
print("all of it")
