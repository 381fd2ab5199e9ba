"""`pycompose image …`: the machine's images, with docker's names, flags and output."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from pycompose.cli import groups
from pycompose.cli.commands import image_build
from pycompose.cli.completion import names_of
from pycompose.cli.display import humanize
from pycompose.cli.display.format import Layout, show
from pycompose.cli.invocation import Invocation, confirmed
from pycompose.cli.options import format_option
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycompose.machine.images import HistoryRow, ImageRow

LS = Layout(
    columns=("Repository", "Tag", "ID", "CreatedSince", "Size"),
    titles={
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "Digest": "DIGEST",
        "ID": "IMAGE ID",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Size": "SIZE",
        "VirtualSize": "SIZE",
        "Containers": "CONTAINERS",
        "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE",
    },
)
LS_DIGESTS = Layout(columns=("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"), titles=LS.titles)
HISTORY = Layout(
    columns=("ID", "CreatedSince", "CreatedBy", "Size", "Comment"),
    titles={
        "ID": "IMAGE",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
    },
)
SHORT_ID = 12
CREATED_BY_WIDTH = 45
UNTIL_HINT = "use until=24h or until=2026-01-31"
platform_option = click.option("--platform", metavar="OS/ARCH", help="Platform (default: this machine's).")


def short(image_id: str, *, full: bool) -> str:
    """Return an id as it is shown."""
    return image_id if full else image_id.removeprefix("sha256:")[:SHORT_ID]


def ls_fields(row: ImageRow, now_ns: int, *, full: bool) -> dict[str, Any]:
    """Return an image as docker names its parts."""
    return {
        "Repository": row.repository,
        "Tag": row.tag,
        "Digest": row.digest,
        "ID": short(row.id, full=full),
        "CreatedSince": humanize.ago(row.created_ns, now_ns) if row.created_ns else "N/A",
        "CreatedAt": humanize.created_at(row.created_ns) if row.created_ns else "N/A",
        "Size": humanize.size(row.size_bytes),
        "VirtualSize": humanize.size(row.size_bytes),
        "Containers": "N/A",
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(row.labels.items())),
    }


def history_fields(row: HistoryRow, now_ns: int, *, full: bool, human: bool) -> dict[str, Any]:
    """Return a step of an image's history as docker names its parts."""
    created_by = row.created_by if full else humanize.shorten(row.created_by, CREATED_BY_WIDTH)
    return {
        "ID": short(row.id, full=full) if row.id else "<missing>",
        "CreatedSince": humanize.ago(row.created_ns, now_ns) if row.created_ns else "N/A",
        "CreatedAt": humanize.moment(row.created_ns) if row.created_ns else "N/A",
        "CreatedBy": created_by,
        "Size": humanize.size(row.size_bytes) if human else str(row.size_bytes),
        "Comment": row.comment,
    }


@click.group(cls=groups.ManagementGroup, help="Manage images.")
def command() -> None:
    """Hold the commands below."""


command.add_command(image_build.command, "build")


@command.command("ls", help="List images.")
@click.argument("reference", required=False, default="", metavar="[REPOSITORY[:TAG]]")
@click.option("-a", "--all", "everything", is_flag=True, help="All images (there are no hidden ones).")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--digests", is_flag=True, help="With digests.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE",
              help="dangling, label, reference, before, since, until.")  # fmt: skip
@format_option()
@click.pass_obj
def ls(
    invocation: Invocation, /, *, reference: str, how: str, filters: tuple[str, ...], **flags: bool
) -> None:
    """Show the images."""
    from pycompose.machine import images

    full = flags["no_trunc"]
    if flags["everything"]:
        invocation.warn("--all has no effect: no image is hidden here")
    until_ns, others = _until(filters)
    rows = images.rows(invocation.context(), reference, others, until_ns=until_ns)
    if flags["quiet"]:
        ids = dict.fromkeys(short(row.id, full=full) for row in rows)
        click.echo("".join(f"{item}\n" for item in ids), nl=False)
        return
    now_ns = time.time_ns()
    fields = [ls_fields(row, now_ns, full=full) for row in rows]
    click.echo(show(fields, how, LS_DIGESTS if flags["digests"] else LS), nl=False)


def _until(filters: Iterable[str]) -> tuple[int | None, list[str]]:
    """Return the moment (since 1970) of `until=` among filters, and the other ones. Raises PycomposeError."""
    from pycompose.cli.options import moment_ns

    found: int | None = None
    others: list[str] = []
    for text in filters:
        key, _, value = text.partition("=")
        if key != "until":
            others.append(text)
            continue
        try:
            found = moment_ns(value, time.time_ns())
        except ValueError as exc:
            raise PycomposeError(f"--filter {text}: cannot be used", hint=UNTIL_HINT) from exc
    return found, others


@command.command("inspect", help="Show all about images as JSON.")
@click.argument("references", nargs=-1, required=True, metavar="IMAGE...", shell_complete=names_of("image"))
@groups.template_option
@platform_option
@click.pass_obj
def inspect(
    invocation: Invocation, /, *, references: tuple[str, ...], template: str, platform: str | None
) -> None:
    """Show what is known of images."""
    from pycompose.machine import images

    context = invocation.context()
    groups.show_each(references, lambda name: images.inspect(context, [name], platform), template)


@command.command("history", help="Show the steps that made an image.")
@click.argument("reference", metavar="IMAGE", shell_complete=names_of("image"))
@click.option("-H", "--human/--no-human", default=True, help="Readable sizes.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--no-trunc", is_flag=True, help="Nothing shortened.")
@format_option()
@click.pass_obj
def history(
    invocation: Invocation, /, *, reference: str, human: bool, quiet: bool, no_trunc: bool, how: str
) -> None:
    """Show the history of one image."""
    from pycompose.machine import images

    now_ns = time.time_ns()
    rows = images.history(invocation.context(), reference)
    fields = [history_fields(row, now_ns, full=no_trunc, human=human) for row in rows]
    if quiet:
        click.echo("".join(f"{item['ID']}\n" for item in fields), nl=False)
        return
    click.echo(show(fields, how, HISTORY), nl=False)


@command.command("tag", help="Give an image one more name.")
@click.argument("source", metavar="IMAGE", shell_complete=names_of("image"))
@click.argument("target", metavar="NAME[:TAG]")
@click.pass_obj
def tag(invocation: Invocation, /, *, source: str, target: str) -> None:
    """Name an image."""
    from pycompose.machine import images

    images.tag(invocation.context(), source, target)


@command.command("rm", help="Remove images.")
@click.argument("references", nargs=-1, required=True, metavar="IMAGE...", shell_complete=names_of("image"))
@click.option("-f", "--force", is_flag=True, help="Also images in use, and ids with several names.")
@click.option("--no-prune", is_flag=True, hidden=True)
@click.pass_obj
def rm(invocation: Invocation, /, *, references: tuple[str, ...], force: bool, no_prune: bool) -> None:
    """Remove what can be removed, then say what could not."""
    from pycompose.machine import images

    if no_prune:
        invocation.warn("--no-prune has no effect: an image has no untagged parents here")
    failures: list[PycomposeError] = []
    for reference in references:
        try:
            done = images.remove(invocation.context(), reference, force=force)
        except PycomposeError as exc:
            failures.append(exc)
            continue
        show_removal(done.untagged, done.deleted)
    if failures:
        raise failures[0] if len(failures) == 1 else ExceptionGroup("some images remain", failures)


def show_removal(untagged: tuple[str, ...], deleted: tuple[str, ...]) -> None:
    """Print what docker prints."""
    for name in untagged:
        click.echo(f"Untagged: {name}")
    for image_id in deleted:
        click.echo(f"Deleted: {image_id}")


@command.command("prune", help="Remove images that have no name, or (-a) that no container uses.")
@click.option("-a", "--all", "everything", is_flag=True, help="Also named images that no container uses.")
@click.option("-f", "--force", is_flag=True, help="Don't ask.")
@click.option("--filter", "filters", multiple=True, metavar="until=TIME", help="Only images stored before.")
@click.pass_obj
def prune(invocation: Invocation, /, *, everything: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Ask, remove, and tell how much that freed."""
    from pycompose.machine import images

    until_ns, others = _until(filters)
    if others:
        raise PycomposeError(f"--filter {others[0]}: cannot be used", hint=UNTIL_HINT)
    before_s = None if until_ns is None else until_ns / 1e9
    what = "all images that no container uses" if everything else "all images without a name"
    if not force and not confirmed(f"This will remove {what}. Are you sure?"):
        return
    done = images.prune(invocation.context(), everything=everything, before_s=before_s)
    show_removal(done.untagged, done.deleted)
    click.echo(f"Total reclaimed space: {humanize.size(done.freed_bytes)}")


@command.command("load", help="Load images from an archive (docker save, OCI layout) or standard input.")
@click.option(
    "-i",
    "--input",
    "source",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Archive or OCI directory.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@platform_option
@click.pass_obj
def load(invocation: Invocation, /, *, source: Path | None, quiet: bool, platform: str | None) -> None:
    """Bring images in from a file."""
    from pycompose.machine import images

    for name in images.load(invocation.context(), source or standard_input(), platform):
        if not quiet:
            click.echo(f"Loaded image{' ID' if name.startswith('sha256:') else ''}: {name}")


@command.command("save", help="Write images to an archive that docker, podman and skopeo read.")
@click.argument("references", nargs=-1, required=True, metavar="IMAGE...", shell_complete=names_of("image"))
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="File (default: standard output)."
)
@platform_option
@click.pass_obj
def save(
    invocation: Invocation, /, *, references: tuple[str, ...], output: Path | None, platform: str | None
) -> None:
    """Write images to a file."""
    from pycompose.machine import images

    with output_file(output) as out:
        images.save(invocation.context(), references, out, platform)


@command.command("import", help="Make an image of a root file system tar (- is standard input).")
@click.argument("source", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))
@click.argument("reference", required=False, metavar="[NAME[:TAG]]")
@click.option(
    "-c",
    "--change",
    "changes",
    multiple=True,
    metavar="INSTRUCTION",
    help="As in a Dockerfile: 'CMD [\"sh\"]'.",
)
@click.option("-m", "--message", default="", metavar="TEXT", help="Comment for the history.")
@click.pass_obj
def import_(
    invocation: Invocation, /, *, source: Path, reference: str | None, changes: tuple[str, ...], message: str
) -> None:
    """Make an image out of files."""
    from pycompose.machine import images

    stream = standard_input() if str(source) == "-" else source
    click.echo(images.import_(invocation.context(), stream, reference, changes=changes, message=message))


@command.command("pull", help="Get an image from a registry.")
@click.argument("reference", metavar="NAME[:TAG|@DIGEST]")
@platform_option
@click.option("-q", "--quiet", is_flag=True, help="Without progress.")
@click.pass_obj
def pull(invocation: Invocation, /, *, reference: str, platform: str | None, quiet: bool) -> None:
    """Pull one image, print its name."""
    from pycompose.machine import images

    with invocation.showing("pull", kind="quiet" if quiet else None) as sink:
        name = images.pull(invocation.context(sink), reference, platform=platform, quiet=quiet)
    click.echo(name)


@command.command("push", help="Send an image to its registry.")
@click.argument("reference", metavar="NAME[:TAG]", shell_complete=names_of("image"))
@click.option("-q", "--quiet", is_flag=True, help="Without progress.")
@click.pass_obj
def push(invocation: Invocation, /, *, reference: str, quiet: bool) -> None:
    """Push one image, print its digest."""
    from pycompose.machine import images

    with invocation.showing("push", kind="quiet" if quiet else None) as sink:
        digest = images.push(invocation.context(sink), reference, quiet=quiet)
    click.echo(digest)


def standard_input() -> BinaryIO:
    """Return standard input as bytes. Raises PycomposeError when that is a person."""
    if sys.stdin.isatty():
        raise PycomposeError("standard input: it is a terminal", hint="name a file, or pipe an archive in")
    return sys.stdin.buffer


@contextmanager
def output_file(path: Path | None) -> Iterator[BinaryIO]:
    """Open the file that a command writes; a failed command leaves nothing of it. Raises PycomposeError."""
    if path is None:
        if sys.stdout.isatty():
            raise PycomposeError("standard output: it is a terminal", hint="use -o FILE, or redirect it")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as out:
            yield out
        temporary.replace(path)
    except OSError as exc:
        raise PycomposeError(f"{path}: cannot write: {exc.strerror}") from exc
    finally:
        temporary.unlink(missing_ok=True)
