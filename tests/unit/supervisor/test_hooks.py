"""What hooks print: line by line for who listens, the end of it for an error."""

from __future__ import annotations

from pycompose.supervisor.lifecycle.hooks import TAIL_CHARACTERS, HookOutput


def test_lines_are_told_as_they_are_complete() -> None:
    """Pieces are put together; a last line needs no end; bytes that are no text are shown as such."""
    told: list[str] = []
    output = HookOutput(told.append)

    output.take("stdout", b"one\ntw")
    output.take("stderr", b"else\n")
    output.take("stdout", b"o\n\xff")
    output.finish()

    assert told == ["one", "else", "two", "\ufffd"]


def test_a_line_without_an_end_is_told_in_pieces() -> None:
    """It might fill the memory."""
    told: list[str] = []
    output = HookOutput(told.append)

    for _ in range(3):
        output.take("stdout", b"x" * 40_000)

    assert [len(line) for line in told] == [80_000]


def test_a_failure_quotes_standard_error_before_standard_output() -> None:
    """What a program says of its failure is there; the last ten lines, and no more than 2048 characters."""
    output = HookOutput(None)
    assert output.failure("failed") == "failed"

    output.take("stdout", b"".join(b"%d\n" % number for number in range(20)))
    assert output.failure("failed") == "failed: " + "\n".join(str(number) for number in range(10, 20))

    output.take("stderr", b"why\n\n")
    assert output.failure("failed") == "failed: why"

    output.take("stderr", b"y" * 5000 + b"\n")
    assert output.failure("failed") == "failed: " + "y" * (TAIL_CHARACTERS - 0)
