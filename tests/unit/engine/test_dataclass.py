"""Our dataclasses mean what the standard library's do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.dataclass import dataclass, field, fields, is_dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Frozen, by name."""

    name: str
    ports: tuple[int, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    limit: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """The same by the standard library."""

    name: str
    ports: tuple[int, ...] = ()
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """Frozen, also by position."""

    x: int
    y: int = 0


@dataclass(frozen=True, slots=True)
class Named(Point):
    """Inherits its fields."""

    name: str = ""


@dataclass(slots=True)
class Counter:
    """Mutable; with a method and a property."""

    count: int = 0
    secret: str = field(default_factory=str, repr=False)

    @property
    def double(self) -> int:
        """Twice the count."""
        return 2 * self.count


@dataclass(frozen=True)
class Open:
    """Without slots: for cached properties."""

    value: int


@dataclass(slots=True)
class Written:
    """With an `__init__` of its own."""

    value: int

    def __init__(self, value: int) -> None:
        self.value = value + 1


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=5),
        "ports": st.lists(st.integers(), max_size=3).map(tuple),
        "labels": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        "limit": st.none() | st.floats(allow_nan=False),
        "other": st.integers(),
    },
)


def made(kind: Any, values: dict[str, Any]) -> Any:
    """Return an instance, or the error's type."""
    try:
        return kind(**values)
    except TypeError:
        return TypeError


@given(VALUES, VALUES)
def test_they_agree_with_the_standard_library(one: dict[str, Any], two: dict[str, Any]) -> None:
    """What can be made, what it shows, what is equal, what replacing gives."""
    ours, theirs = (
        [made(Ours, values) for values in (one, two)],
        [made(Theirs, values) for values in (one, two)],
    )
    assert [item is TypeError for item in ours] == [item is TypeError for item in theirs]
    if TypeError in ours:
        return
    assert [repr(item).replace("Ours", "Theirs") for item in ours] == [repr(item) for item in theirs]
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])
    assert repr(replace(ours[0], **two)).replace("Ours", "Theirs") == repr(
        dataclasses.replace(theirs[0], **two)
    )


def test_frozen_ones_stay_as_they_are() -> None:
    """No setting, no deleting; the hash is that of the fields."""
    point = Point(1, 2)
    with pytest.raises(AttributeError, match="frozen"):
        point.x = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError, match="frozen"):
        del point.x  # pyright: ignore[reportAttributeAccessIssue]
    assert len({point, Point(1, 2), Point(1)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ours(name="a"))


def test_positions() -> None:
    """By position in order, bases first; too many, or one twice, is an error."""
    assert Named(1, 2, "a") == Named(x=1, y=2, name="a")
    for wrong in (lambda: Point(1, 2, 3), lambda: Point(1, x=1), lambda: Ours("a")):  # type: ignore[call-arg, misc]  # pyright: ignore[reportCallIssue]
        with pytest.raises(TypeError):
            wrong()
    match Named(1, 2, "a"):
        case Named(x, y, name):
            assert (x, y, name) == (1, 2, "a")


def test_mutable_ones_change() -> None:
    """They can be set, have no hash, and don't show what is secret."""
    counter = Counter(secret="hidden")
    counter.count += 2
    assert counter.double == 4
    assert repr(counter) == "Counter(count=2)"
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)
    with pytest.raises(AttributeError):
        counter.other = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert Counter() != Point(0)


def test_an_own_initialiser_stays() -> None:
    """It is used by `replace` too."""
    assert (Written(1).value, replace(Written(1), value=5).value) == (2, 6)


def test_defaults_are_made_anew() -> None:
    """No two instances share one."""
    assert Ours(name="a").labels is not Ours(name="b").labels


def test_a_default_that_could_change_is_refused() -> None:
    """All instances would share it."""
    with pytest.raises(ValueError, match="labels: a dict would be shared"):

        @dataclass(slots=True)
        class Shared:
            labels: dict[str, str] = {}  # noqa: RUF012 - that is what is refused


def test_class_variables_are_no_fields() -> None:
    """They stay what they are."""

    @dataclass(frozen=True, slots=True)
    class Limited:
        most: ClassVar[int] = 7
        value: int = 0

    assert [item.name for item in fields(Limited)] == ["value"]
    assert Limited(3).most == Limited.most == 7


def test_looking() -> None:
    """Fields in order with their annotations; other classes have none."""
    assert [(item.name, item.type) for item in fields(Named)] == [("x", "int"), ("y", "int"), ("name", "str")]
    assert [is_dataclass(item) for item in (Point, Point(1), 3)] == [True, True, False]
    with pytest.raises(TypeError, match="not a dataclass"):
        fields(int)
    with pytest.raises(TypeError, match="no field z"):
        replace(Point(1), z=1)


@pytest.mark.parametrize("value", (Ours(name="a", labels={"b": "c"}), Named(1, 2, "n"), Open(3)))
def test_copies(value: Any) -> None:
    """By copy and by pickle."""
    assert copy.copy(value) == copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value  # noqa: S301
