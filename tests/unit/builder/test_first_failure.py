"""Which of several failures a build of several images is about."""

from __future__ import annotations

from pycompose.build.services import first_failure
from pycompose.engine.builder.solve import AbandonedError
from pycompose.engine.errors import BuildError


def test_what_was_canceled_for_it_may_end_before_it() -> None:
    """The cause is what failed by itself, whichever thread speaks first."""
    cause, later, canceled = BuildError("exit code: 3"), BuildError("later"), AbandonedError("canceled")
    assert first_failure([canceled, cause, later]) is cause
    assert first_failure([cause, canceled]) is cause
    assert first_failure([canceled]) is canceled
