"""The dependency graph as a picture for readers: one SVG file without anything from elsewhere, for light and dark.

XML 1.0 and SVG 1.1. Whatever a name holds is text: it is escaped, and what XML can't hold becomes U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pycompose.engine.dataclass import dataclass
from pycompose.policy.layout import BoxSizes, GraphLayout, Point, lay_out

# What a character takes at most, at the sizes below, in the fonts that browsers have for "sans-serif".
_NAME_WIDTH, _NOTE_WIDTH = 8.4, 6.6
_PADDING = 14
_WIDEST = 260
_HEIGHT, _HEIGHT_WITH_NOTE = 34, 50
# The library's `escape` brings urllib with it, and OpenSSL: 3 MiB for each server of a page.
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
# XML 1.0, production 2 (Char): the rest can't be written, not even as a reference.
_NO_XML = re.compile("[^\\t\\n\\r\\u0020-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")

STYLE = """
.paper{fill:#fff}.box{fill:#f6f8fa;stroke:#57606a}.name{fill:#1f2328;font-size:14px;font-weight:600}
.note,.label{fill:#57606a;font-size:11px}.arrow{fill:none;stroke:#6e7781;stroke-width:1.4}.head{fill:#6e7781}
.optional,.absent .box{stroke-dasharray:5 4}.label{stroke:#fff;stroke-width:4;paint-order:stroke}
.good .box{fill:#e6f6ea;stroke:#1a7f37}.waiting .box{fill:#fff5d6;stroke:#9a6700}.bad .box{fill:#ffebe9;stroke:#cf222e}
@media (prefers-color-scheme:dark){
.paper{fill:#0d1117}.box{fill:#161b22;stroke:#8b949e}.name{fill:#e6edf3}.note,.label{fill:#9da7b1}
.arrow{stroke:#8b949e}.head{fill:#8b949e}.label{stroke:#0d1117}
.good .box{fill:#0f2e1a;stroke:#3fb950}.waiting .box{fill:#33270a;stroke:#d29922}.bad .box{fill:#3d1518;stroke:#f85149}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphBox:
    """A service: its name, what is said below it ("" is nothing), and its tone (condition.py) or "absent"."""

    name: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphArrow:
    """From a service to what it needs; `label` is the condition."""

    source: str
    target: str
    label: str = ""
    optional: bool = False


def draw(title: str, nodes: Sequence[GraphBox], edges: Sequence[GraphArrow]) -> str:
    """Return the SVG document. Every end of an edge has to be one of the nodes."""
    sizes = sizes_for(nodes)
    needs: dict[str, list[str]] = {node.name: [] for node in nodes}
    for edge in edges:
        needs[edge.source].append(edge.target)
    layout = lay_out(needs, sizes)
    size = f"{layout.width:.0f} {layout.height:.0f}"
    width, height = size.split()
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {size}"'
            ' role="img" aria-labelledby="title said" font-family="system-ui, sans-serif">'
        ),
        f'<title id="title">{text(title)}</title>',
        f'<desc id="said">{text(_spoken(nodes, edges))}</desc>',
        f"<style>{STYLE}</style>",
        (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            ' orient="auto">'
            '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>'
        ),
        f'<rect class="paper" width="{width}" height="{height}"/>',
        *(_arrow(edge, layout.arrows[edge.source, edge.target]) for edge in edges),
        *(_box(node, layout, sizes) for node in nodes),
        *(_label(edge, layout.arrows[edge.source, edge.target]) for edge in edges if edge.label),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def sizes_for(nodes: Sequence[GraphBox]) -> BoxSizes:
    """Return how large boxes are that hold what these nodes say."""
    widths = [max(len(n.name) * _NAME_WIDTH, len(n.note) * _NOTE_WIDTH) for n in nodes]
    noted = any(node.note for node in nodes)
    width = min(max(widths, default=0) + 2 * _PADDING, _WIDEST)
    return BoxSizes(width=width, height=_HEIGHT_WITH_NOTE if noted else _HEIGHT)


def text(value: str) -> str:
    """Return what an element or an attribute in double quotes may hold."""
    return _NO_XML.sub("\ufffd", value).translate(_MARKUP)


def curve(points: Sequence[Point]) -> str:
    """Return the path through the points of an arrow: level at each of them, in between a Bézier curve."""
    (x, y), *rest = points
    path = f"M{x:.1f} {y:.1f}"
    for to_x, to_y in rest:
        middle = (x + to_x) / 2
        path += f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
    return path


def _spoken(nodes: Sequence[GraphBox], edges: Sequence[GraphArrow]) -> str:
    """Return what the picture says, as sentences for who doesn't see it."""
    needs: Mapping[str, list[str]] = {node.name: [] for node in nodes}
    for edge in edges:
        needs[edge.source].append(f"{edge.target} ({edge.label})" if edge.label else edge.target)
    said = []
    for node in nodes:
        needed = f" needs {', '.join(needs[node.name])}" if needs[node.name] else ""
        said.append(f"{node.name}{f', {node.note},' if node.note else ''}{needed}".rstrip(","))
    return ". ".join(said)


def _arrow(edge: GraphArrow, points: Sequence[Point]) -> str:
    kind = "arrow optional" if edge.optional else "arrow"
    return f'<path class="{kind}" d="{curve(points)}" marker-end="url(#head)"/>'


def _label(edge: GraphArrow, points: Sequence[Point]) -> str:
    """Return the label, in the middle of the last piece, which is the arrow's own: bends may lie close together."""
    (x, y), (to_x, to_y) = points[-2], points[-1]
    middle = f'x="{(x + to_x) / 2:.1f}" y="{(y + to_y) / 2 - 4:.1f}"'
    return f'<text class="label" {middle} text-anchor="middle">{text(edge.label)}</text>'


def _box(node: GraphBox, layout: GraphLayout, sizes: BoxSizes) -> str:
    x, y = layout.boxes[node.name]
    center = x + sizes.width / 2
    room = sizes.width - _PADDING
    line = y + (21 if node.note else sizes.height / 2 + 5)
    parts = [
        f'<g class="{text(node.tone)}"><title>{text(": ".join(filter(None, (node.name, node.note))))}</title>',
        f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{sizes.width:.1f}" height="{sizes.height:.1f}" rx="7"/>',
        (
            f'<text class="name" x="{center:.1f}" y="{line:.1f}" text-anchor="middle">'
            f"{text(_short(node.name, room, _NAME_WIDTH))}</text>"
        ),
    ]
    if node.note:
        parts.append(
            f'<text class="note" x="{center:.1f}" y="{y + 38:.1f}" text-anchor="middle">'
            f"{text(_short(node.note, room, _NOTE_WIDTH))}</text>"
        )
    return "".join([*parts, "</g>"])


def _short(value: str, room: float, width: float) -> str:
    most = int(room / width) + 1
    return value if len(value) <= most else f"{value[: most - 1]}…"
