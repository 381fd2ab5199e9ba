"""Templates as trees (Go, text/template/parse): what stands where, checked before anything is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NoReturn

from pycompose.cli.gotemplate.errors import GoTemplateSyntaxError
from pycompose.cli.gotemplate.lexer import Token, constant, lex
from pycompose.engine.dataclass import dataclass

# Deeper than any template that somebody wrote, and within what the interpreter can call.
DEEPEST = 40
BLOCKS = ("if", "range", "with")
FOREIGN = ("define", "template", "block")
VALUES = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Operand:
    """One thing: kind dot, nil, constant, field, variable, function or pipe, and the fields asked of it.

    `value` is the constant, the name of the variable or function, or the PipeNode. `start` and `end` are its place in
    the source, `at` is where errors point.
    """

    kind: str
    value: Any
    names: tuple[str, ...]
    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True)
class CommandNode:
    """Operands side by side: the first is what is called, or the only one."""

    operands: tuple[Operand, ...]

    @property
    def start(self) -> int:
        """Where it begins."""
        return self.operands[0].start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.operands[-1].end


@dataclass(frozen=True, slots=True)
class PipeNode:
    """Commands, each given the result of the one before; `declared` variables get the last (`assigns`: old ones)."""

    commands: tuple[CommandNode, ...]
    declared: tuple[str, ...] = ()
    assigns: bool = False


@dataclass(frozen=True, slots=True)
class TextNode:
    """What is printed as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class ActionNode:
    """A pipe whose result is printed."""

    pipe: PipeNode


@dataclass(frozen=True, slots=True)
class BranchNode:
    """if, with or range: a pipe that decides whether `body` or `other` comes, or how often."""

    word: str
    pipe: PipeNode
    body: tuple[Node, ...]
    other: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class JumpNode:
    """break or continue."""

    word: str


Node = TextNode | ActionNode | BranchNode | JumpNode


def parse(source: str, functions: Collection[str], literal: Callable[[str], str] = str) -> tuple[Node, ...]:
    """Return the template's tree; `literal` is applied to the text between actions. Raises GoTemplateSyntaxError."""
    return _Parser(source, functions, literal).template()


class _Parser:
    """Goes through the words once; knows which variables there are, and how deep it is."""

    def __init__(self, source: str, functions: Collection[str], literal: Callable[[str], str]) -> None:
        self._source = source
        self._functions = functions
        self._tokens = list(lex(source, literal))
        self._next = 0
        self._variables = ["$"]
        self._loops = 0
        self._depth = 0

    def template(self) -> tuple[Node, ...]:
        """Return everything up to the end."""
        nodes, word, token = self._nodes()
        if word:
            self._fail(token, f"unexpected {{{{{word}}}}}")
        return nodes

    # ------------------------------------------------------------------ words

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _is(self, kind: str, text: str = "") -> bool:
        token = self._peek()
        return token.kind == kind and (not text or token.text == text)

    def _fail(self, token: Token, reason: str, hint: str | None = None) -> NoReturn:
        raise GoTemplateSyntaxError(self._source, token.start, reason, hint=hint)

    def _unexpected(self, token: Token, context: str) -> NoReturn:
        shown = "end of action" if token.kind == "close" else f'"{token.text}"'
        self._fail(token, f"unexpected {shown} in {context}")

    def _deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(token, f"nested more than {DEEPEST} deep")

    # ------------------------------------------------------------------ blocks

    def _nodes(self) -> tuple[tuple[Node, ...], str, Token]:
        """Return nodes up to `else`, `end` or the end of the template, and that word ("" for the end)."""
        found: list[Node] = []
        while True:
            token = self._take()
            if token.kind == "end":
                return tuple(found), "", token
            if token.kind == "text":
                if token.text:
                    found.append(TextNode(token.text))
                continue
            word = self._peek().text if self._is("word") else ""
            if word in ("else", "end"):
                return tuple(found), word, self._take()
            found.append(self._node(self._take() if word in (*BLOCKS, *FOREIGN) else token, word))

    def _node(self, token: Token, word: str) -> Node:
        if word in BLOCKS:
            return self._branch(token)
        if word in FOREIGN:
            self._fail(
                token, f"{word} cannot be used here", hint="one template, without parts that have names"
            )
        if word in ("break", "continue") and self._tokens[self._next + 1].kind == "close":
            if not self._loops:
                self._fail(self._take(), f"{{{{{word}}}}} outside {{{{range}}}}")
            self._take()
            self._take()
            return JumpNode(word)
        return ActionNode(self._pipe("command", "close"))

    def _branch(self, token: Token) -> BranchNode:
        """Return if, with or range, whose word has been taken, with all that belongs to it."""
        word = token.text
        self._deeper(token)
        known = len(self._variables)
        pipe = self._pipe(word, "close")
        inner = len(self._variables)
        self._loops += word == "range"
        body, end, last = self._nodes()
        self._loops -= word == "range"
        del self._variables[inner:]
        other: tuple[Node, ...] = ()
        if end == "else":
            if word != "range" and self._is("word", word):
                other = (self._branch(self._take()),)  # takes the {{end}} of both
                end = "done"
            else:
                self._close(last, "else")
                other, end, last = self._nodes()
        if end == "else":
            self._fail(last, "unexpected {{else}}")
        if not end:
            self._fail(last, f"unexpected end of the template: {{{{{word}}}}} has no {{{{end}}}}")
        if end == "end":
            self._close(last, "end")
        del self._variables[known:]
        self._depth -= 1
        return BranchNode(word, pipe, body, other)

    def _close(self, token: Token, context: str) -> None:
        if not self._is("close"):
            self._unexpected(self._peek() if not self._is("end") else token, context)
        self._take()

    # ------------------------------------------------------------------ pipes

    def _pipe(self, context: str, end: str) -> PipeNode:
        """Return a pipeline up to `end` (close, or the sign that ends a parenthesis), which is taken too."""
        declared, assigns = self._declarations(context)
        commands: list[CommandNode] = []
        while True:
            token = self._peek()
            if token.kind == end or (end == ")" and self._is("sign", ")")):
                self._take()
                break
            if end == ")" and token.kind == "close":
                self._fail(token, "unclosed left paren")
            if token.text == ")" and token.kind == "sign":
                self._fail(token, "unexpected right paren")
            if token.kind == "sign" and token.text != "(":
                self._unexpected(token, context)
            commands.append(self._command(first=not commands))
        if not commands:
            self._fail(token, f"missing value for {context}")
        self._variables += () if assigns else declared
        return PipeNode(tuple(commands), declared, assigns)

    def _declarations(self, context: str) -> tuple[tuple[str, ...], bool]:
        """Take `$x :=`, `$x =` or, in a range, `$i, $x :=` where they stand."""
        names: list[str] = []
        at = self._next
        while self._is("variable"):
            names.append(self._take().text)
            if self._is("sign", ",") and context == "range" and len(names) == 1:
                self._take()
                continue
            break
        sign = self._peek()
        if names and sign.kind == "sign" and sign.text in (":=", "="):
            self._take()
            for name in names if sign.text == "=" else ():
                self._known(name, sign)
            return tuple(names), sign.text == "="
        if names and sign.kind == "sign" and sign.text == ",":
            self._fail(sign, f"too many declarations in {context}")
        self._next = at
        return (), False

    def _known(self, name: str, token: Token) -> None:
        if name not in self._variables:
            self._fail(token, f'undefined variable "{name}"')

    def _command(self, *, first: bool) -> CommandNode:
        operands = [self._operand()]
        while True:
            token = self._peek()
            if token.kind == "close" or (token.text == ")" and token.kind == "sign"):
                break
            if self._is("sign", "|"):
                self._take()
                break
            if not token.spaced or (token.kind == "sign" and token.text != "("):
                self._unexpected(token, "operand")
            operands.append(self._operand())
        if not first and operands[0].kind in ("dot", "nil", "constant"):
            raise GoTemplateSyntaxError(self._source, operands[0].start, "non executable command in pipeline")
        return CommandNode(tuple(operands))

    def _operand(self) -> Operand:
        token = self._take()
        kind, value, names = self._term(token)
        at = token.start
        fields: list[str] = []
        while self._is("field") and not self._peek().spaced:
            if kind in ("constant", "nil", "dot"):
                self._fail(self._peek(), f'unexpected . after term "{token.text}"')
            following = self._take()
            at = at if fields else following.start
            fields.append(following.text[1:])
        end = self._tokens[self._next - 1].end
        return Operand(kind, value, (*names, *fields), token.start, end, at)

    def _term(self, token: Token) -> tuple[str, Any, tuple[str, ...]]:
        """Return kind, value and fields of the operand that begins with `token`."""
        if token.kind in ("string", "raw", "char", "number"):
            return "constant", constant(self._source, token), ()
        if token.kind == "field":
            return "field", None, (token.text[1:],)
        if token.kind == "dot":
            return "dot", None, ()
        if token.kind == "variable":
            self._known(token.text, token)
            return "variable", token.text, ()
        if token.kind == "sign" and token.text == "(":
            self._deeper(token)
            pipe = self._pipe("parenthesized pipeline", ")")
            self._depth -= 1
            return "pipe", pipe, ()
        if token.kind != "word":
            self._unexpected(token, "operand")
        if token.text in VALUES:
            return "constant", VALUES[token.text], ()
        if token.text == "nil":
            return "nil", None, ()
        if token.text not in self._functions:
            hint = f"there are: {' '.join(sorted(self._functions))}"
            self._fail(token, f'function "{token.text}" not defined', hint=hint)
        return "function", token.text, ()
