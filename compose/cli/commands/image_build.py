"""`pycompose image build`: an image out of a Dockerfile, apart from any project, with docker's flags."""

from __future__ import annotations

from typing import Any

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import BytesType

_NO_EFFECT = {
    "attest": "builds make no attestations",
    "builder": "there is one builder",
    "provenance": "builds make no attestations",
    "sbom": "builds make no attestations",
}


@click.command(
    help="Build an image from a Dockerfile. PATH may be - for a Dockerfile or a tar of the context on stdin."
)
@click.argument("path")
@click.option(
    "-f", "--file", "dockerfile", metavar="FILE", help="Dockerfile (default: PATH/Dockerfile; - is stdin)."
)
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name of the image.")
@click.option("--target", metavar="STAGE", help="Stage to build.")
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="Set a build argument.")
@click.option(
    "--build-context", "contexts", multiple=True, metavar="NAME=SOURCE", help="Further context or image."
)
@click.option("--secret", "secrets", multiple=True, metavar="id=ID,src=FILE", help="Secret for RUN --mount.")
@click.option("--ssh", multiple=True, metavar="ID[=SOCKET]", help="Give an SSH agent to the steps.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the image.")
@click.option("--platform", metavar="OS/ARCH", help="Platform (default: this machine's).")
@click.option("--network", default="default", metavar="MODE", help="default, none or host.")
@click.option("--add-host", "hosts", multiple=True, metavar="NAME:IP", help="Add to /etc/hosts of the steps.")
@click.option("--shm-size", "shm_bytes", type=BytesType(), help="Size of /dev/shm of the steps.")
@click.option("--ulimit", "ulimits", multiple=True, metavar="NAME=SOFT[:HARD]", help="Limit of the steps.")
@click.option("-m", "--memory", "memory_bytes", type=BytesType(), help="Memory limit of each step.")
@click.option("--no-cache", is_flag=True, help="Do every step anew.")
@click.option("--no-cache-filter", multiple=True, metavar="STAGE", help="Do these stages anew.")
@click.option("--pull", is_flag=True, help="Get newer versions of base images.")
@click.option("-q", "--quiet", is_flag=True, help="Print the image's id only.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "tty", "quiet", "rawjson"]),
    help="How to show progress.",
)
@click.option("--iidfile", metavar="FILE", help="Write the image's id to a file.")
@click.option("--metadata-file", metavar="FILE", help="Write what was built to a file, as JSON.")
@click.option(
    "-o", "--output", metavar="type=TYPE,dest=PATH", help="local, tar, oci, docker or image (default)."
)
@click.option("--allow", multiple=True, metavar="ENTITLEMENT", help="security.insecure.")
@click.option("--attest", metavar="TEXT", hidden=True)
@click.option("--builder", metavar="NAME", hidden=True)
@click.option("--provenance", metavar="TEXT", hidden=True)
@click.option("--sbom", metavar="TEXT", hidden=True)
@click.option("--load", is_flag=True, hidden=True)
@click.pass_obj
def command(invocation: Invocation, /, **flags: Any) -> None:
    """Build, showing progress; the id goes to standard output with -q."""
    from pycompose.machine import image_build  # noqa: PLC0415 - --help doesn't need it

    for name, reason in _NO_EFFECT.items():
        if flags[name] not in (None, "false", "default"):
            invocation.warn(f"--{name} has no effect: {reason}")
    options = image_build.ImageBuildOptions(
        path=flags["path"],
        dockerfile=flags["dockerfile"],
        tags=flags["tags"],
        target=flags["target"] or "",
        build_args=flags["build_args"],
        contexts=flags["contexts"],
        secrets=flags["secrets"],
        ssh=flags["ssh"],
        labels=flags["labels"],
        platform=flags["platform"] or "",
        network=flags["network"],
        hosts=flags["hosts"],
        shm_bytes=flags["shm_bytes"],
        ulimits=flags["ulimits"],
        memory_bytes=flags["memory_bytes"],
        no_cache=flags["no_cache"],
        no_cache_filter=flags["no_cache_filter"],
        pull=flags["pull"],
        quiet=flags["quiet"],
        output=flags["output"] or "",
        allow=flags["allow"],
    )
    kind = "quiet" if flags["quiet"] else {"rawjson": "json"}.get(flags["progress"], flags["progress"])
    with invocation.showing("build", kind=kind) as sink:
        built = image_build.build_image(invocation.context(sink), options)
    if flags["quiet"]:
        click.echo(built.id)
    if flags["iidfile"]:
        image_build.write_text(flags["iidfile"], built.id)
    if flags["metadata_file"]:
        image_build.write_metadata(flags["metadata_file"], built, flags["tags"])
