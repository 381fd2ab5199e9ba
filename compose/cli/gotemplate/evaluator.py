"""Templates filled with data (Go, text/template/exec.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pycompose.cli.gotemplate.errors import CallError, GoTemplateError
from pycompose.cli.gotemplate.functions import Function
from pycompose.cli.gotemplate.parser import (
    ActionNode,
    BranchNode,
    CommandNode,
    JumpNode,
    Node,
    Operand,
    PipeNode,
    TextNode,
)
from pycompose.cli.gotemplate.printing import PLAIN, WIDEST, formatted, text
from pycompose.cli.gotemplate.values import NO_VALUE, GoStruct, MissingFieldError, field, truth, type_name

_NOTHING = object()  # no value comes down the pipe
EXPECTED = {"string": str, "int": int}


class Evaluation:
    """One template, filled once."""

    def __init__(self, source: str, functions: Mapping[str, Function], data: Any) -> None:
        self._source = source
        self._functions = functions
        self._variables: list[tuple[str, Any]] = [("$", data)]
        self._out: list[str] = []

    def run(self, nodes: Sequence[Node]) -> str:
        """Return the text. Raises GoTemplateError for what the data doesn't have, or a function doesn't take."""
        self._walk(nodes, self._variables[0][1])
        return "".join(self._out)

    def _walk(self, nodes: Sequence[Node], dot: Any) -> str:
        """Print the nodes; return "break" or "continue" where one of them says so."""
        for node in nodes:
            if isinstance(node, TextNode):
                self._out.append(node.text)
            elif isinstance(node, ActionNode):
                value = self._pipe(node.pipe, dot)
                if not node.pipe.declared:
                    self._out.append(text(value))
            elif isinstance(node, JumpNode):
                return node.word
            elif word := self._branch(node, dot):
                return word
        return ""

    # ------------------------------------------------------------------ blocks

    def _branch(self, node: BranchNode, dot: Any) -> str:
        known = len(self._variables)
        try:
            if node.word == "range":
                return self._range(node, dot)
            value = self._pipe(node.pipe, dot)
            if truth(value):
                return self._walk(node.body, value if node.word == "with" else dot)
            return self._walk(node.other, dot)
        finally:
            del self._variables[known:]

    def _range(self, node: BranchNode, dot: Any) -> str:
        value = self._pipe(node.pipe, dot, declare=False)
        turns = 0
        for key, item in self._items(node, value):
            turns += 1
            known = len(self._variables)
            names = node.pipe.declared
            for name, part in zip(names, (key, item) if len(names) > 1 else (item,), strict=False):
                self._set(name, part, assigns=node.pipe.assigns)
            word = self._walk(node.body, item)
            del self._variables[known:]
            if word == "break":
                break
        return "" if turns else self._walk(node.other, dot)

    def _items(self, node: BranchNode, value: Any) -> Iterator[tuple[Any, Any]]:
        """Yield keys or positions, and what is there. Raises GoTemplateError for what has no parts."""
        if isinstance(value, Mapping):
            yield from sorted(value.items())
        elif isinstance(value, (list, tuple)):
            yield from enumerate(value)
        elif isinstance(value, int) and not isinstance(value, bool) and value <= WIDEST:
            yield from ((number, number) for number in range(value))
        elif value is not None and value is not NO_VALUE:
            last = node.pipe.commands[-1]
            shown = formatted(value, PLAIN)
            raise self._error(last.operands[0].at, last, f"range can't iterate over {shown}")

    # ------------------------------------------------------------------ variables

    def _set(self, name: str, value: Any, *, assigns: bool) -> None:
        if not assigns:
            self._variables.append((name, value))
            return
        place = max(index for index, (known, _) in enumerate(self._variables) if known == name)
        self._variables[place] = (name, value)

    def _variable(self, name: str) -> Any:
        return next(value for known, value in reversed(self._variables) if known == name)

    # ------------------------------------------------------------------ pipes

    def _pipe(self, pipe: PipeNode, dot: Any, *, declare: bool = True) -> Any:
        value: Any = _NOTHING
        for command in pipe.commands:
            value = self._command(command, dot, value)
        for name in pipe.declared if declare else ():
            self._set(name, value, assigns=pipe.assigns)
        return value

    def _command(self, command: CommandNode, dot: Any, last: Any) -> Any:
        first, *rest = command.operands
        if first.kind == "function":
            return self._fields(first, self._call(first, command, dot, last))
        if first.kind == "nil":
            raise self._error(first.at, first, "nil is not a command")
        if not rest and last is _NOTHING:
            return self._operand(first, dot)
        if first.kind == "field" and len(first.names) == 1 and isinstance(dot, GoStruct):
            method = dot.methods.get(first.names[0])
            if method is not None:
                arguments = [self._operand(operand, dot) for operand in rest]
                return self._method(first, method, arguments + ([] if last is _NOTHING else [last]))
        if first.names:
            raise self._error(first.at, first, f"{first.names[-1]} is not a method but has arguments")
        raise self._error(first.at, first, f"can't give argument to non-function {self._words(first)}")

    def _method(self, operand: Operand, method: Callable[[str], str], arguments: Sequence[Any]) -> str:
        name = operand.names[0]
        if len(arguments) != 1:
            raise self._error(
                operand.at, operand, f"wrong number of args for {name}: want 1 got {len(arguments)}"
            )
        if not isinstance(arguments[0], str):
            raise self._error(operand.at, operand, f"expected string; found {type_name(arguments[0])}")
        return method(arguments[0])

    def _operand(self, operand: Operand, dot: Any) -> Any:
        """Return the value of one operand, its fields included."""
        if operand.kind in ("constant", "nil"):
            return operand.value
        if operand.kind == "variable":
            value = self._variable(operand.value)
        elif operand.kind == "pipe":
            value = self._pipe(operand.value, dot)
        elif operand.kind == "function":
            value = self._call(operand, CommandNode((operand,)), dot, _NOTHING)
        else:
            if operand.names and isinstance(dot, GoStruct) and operand.names[0] in dot.methods:
                self._method(operand, dot.methods[operand.names[0]], ())
            value = dot
        return self._fields(operand, value)

    def _fields(self, operand: Operand, value: Any) -> Any:
        for name in operand.names:
            if value is NO_VALUE:
                return value
            if value is None:
                raise self._error(operand.at, operand, f"nil data; no entry for key {_key(name)}")
            try:
                value = field(value, name)
            except MissingFieldError as exc:
                raise self._error(operand.at, operand, str(exc), exc.hint) from None
            except CallError as exc:
                raise self._error(operand.at, operand, str(exc)) from None
        return value

    # ------------------------------------------------------------------ calls

    def _call(self, first: Operand, command: CommandNode, dot: Any, last: Any) -> Any:
        name, function = first.value, self._functions[first.value]
        operands = command.operands[1:]
        count = len(operands) + (last is not _NOTHING)
        # The last parameter of those that repeat may be missing, except where it is the only one of and, or.
        least = len(function.takes) - function.repeats + (name in ("and", "or"))
        if count < least or (count > len(function.takes) and not function.repeats):
            want = f"at least {least}" if function.repeats else str(least)
            raise self._error(first.at, first, f"wrong number of args for {name}: want {want} got {count}")
        if name in ("and", "or"):
            return self._until(operands, dot, last, wanted=name == "or")
        arguments = []
        for index in range(count):
            takes = function.takes[min(index, len(function.takes) - 1)]
            where = operands[index] if index < len(operands) else command
            value = self._operand(operands[index], dot) if index < len(operands) else last
            arguments.append(self._checked(value, takes, where))
        try:
            return function.call(*arguments)
        except CallError as exc:
            raise self._error(command.start, command, f"error calling {name}: {exc}") from None

    def _until(self, operands: Sequence[Operand], dot: Any, last: Any, *, wanted: bool) -> Any:
        """Return the first value whose truth is `wanted`, else the last one; what follows isn't evaluated."""
        value = None
        for operand in operands:
            value = self._operand(operand, dot)
            if truth(value) is wanted:
                return value
        return value if last is _NOTHING else last

    def _checked(self, value: Any, takes: str, where: Operand | CommandNode) -> Any:
        """Return an argument for a parameter. Raises GoTemplateError when it is of another type."""
        if takes == "any":
            return None if value is NO_VALUE else value
        if takes == "strings":
            good = isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
        else:
            good = isinstance(value, EXPECTED[takes]) and not isinstance(value, bool)
        if not good:
            at = where.at if isinstance(where, Operand) else where.start
            wanted = "[]string" if takes == "strings" else takes
            found = type_name(value)
            raise self._error(at, where, f"wrong type for value; expected {wanted}; got {found}")
        return value

    # ------------------------------------------------------------------ errors

    def _words(self, part: Operand | CommandNode) -> str:
        return self._source[part.start : part.end].strip()

    def _error(
        self, at: int, part: Operand | CommandNode, reason: str, hint: str | None = None
    ) -> GoTemplateError:
        return GoTemplateError(self._source, at, f"<{self._words(part)}>: {reason}", hint=hint)


def _key(name: str) -> str:
    return f'"{name}"'
