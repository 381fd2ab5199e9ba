"""A template: read once, filled for each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pycompose.cli.gotemplate import parser
from pycompose.cli.gotemplate.errors import GoTemplateError
from pycompose.cli.gotemplate.evaluator import Evaluation
from pycompose.cli.gotemplate.functions import FUNCTIONS, HEADER_FUNCTIONS
from pycompose.cli.gotemplate.parser import ActionNode, BranchNode, Node, PipeNode
from pycompose.cli.gotemplate.values import GoStruct
from pycompose.engine.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """A template that has been read."""

    source: str
    nodes: tuple[Node, ...]

    def render(self, data: Any) -> str:
        """Return the template filled with `data`. Raises GoTemplateError for what it asks and isn't there."""
        return Evaluation(self.source, FUNCTIONS, data).run(self.nodes)

    def headers(self, titles: Mapping[str, str]) -> str:
        """Return the template filled with titles: the header of `table TEMPLATE`.

        A template that cannot be filled with them, as it works on what they don't have, gets them side by side.
        """
        names = dict.fromkeys(_names(self.nodes))
        known = {name: titles.get(name, name.upper()) for name in names}
        row = GoStruct(known, {"Label": str})
        try:
            return Evaluation(self.source, HEADER_FUNCTIONS, row).run(self.nodes)
        except GoTemplateError:
            return " ".join(known.values())


def parse(text: str, *, escapes: bool = False) -> Template:
    r"""Return a template; with `escapes`, \t and \n outside actions stand for what they do in Go's strings.

    Raises GoTemplateSyntaxError.
    """
    return Template(text, parser.parse(text, FUNCTIONS, _unescaped if escapes else str))


def _unescaped(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n")


def _names(nodes: tuple[Node, ...]) -> list[str]:
    """Return the first names of the fields that are asked for, in order."""
    found: list[str] = []
    for node in nodes:
        if isinstance(node, (ActionNode, BranchNode)):
            found += _of_pipe(node.pipe)
        if isinstance(node, BranchNode):
            found += _names(node.body) + _names(node.other)
    return found


def _of_pipe(pipe: PipeNode) -> list[str]:
    found: list[str] = []
    for command in pipe.commands:
        for operand in command.operands:
            if operand.kind == "pipe":
                found += _of_pipe(operand.value)
            elif operand.names and operand.names[0] != "Label":
                found.append(operand.names[0])
    return found
