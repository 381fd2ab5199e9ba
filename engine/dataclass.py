"""`dataclasses` as far as this project needs it, without the code that it compiles at import.

Its decorator writes up to six functions per class as text and compiles them: 0.4 ms a class, which was half of the
time that the supervisor took to import. Here all classes share their functions (0.04 ms a class). Names and meaning
are those of the standard library; the type checkers know the decorator by `dataclass_transform` (PEP 681).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, dataclass_transform

T = TypeVar("T")
_MISSING: Any = object()
_FIELDS = "__fields__"


class Default:
    """What `field` leaves in the body of a class."""

    __slots__ = ("factory", "secret")

    def __init__(self, factory: Callable[[], Any], *, secret: bool) -> None:
        self.factory = factory
        self.secret = secret


class Field:
    """One field: `type` is the annotation's text; of `default` and `factory` at most one is there.

    No NamedTuple: that compiles the annotations of its fields, 1 ms of every start.
    """

    __slots__ = ("default", "factory", "name", "secret", "type")

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - the standard library's name
        default: Any,
        factory: Callable[[], Any] | None,
        *,
        secret: bool,
    ) -> None:
        self.name = name
        self.type = type
        self.default = default
        self.factory = factory
        self.secret = secret

    def initial(self) -> Any:
        """Return its default, or an object that is like no other where it has none."""
        return self.default if self.factory is None else self.factory()


def field(*, default_factory: Callable[[], T], repr: bool = True) -> T:  # noqa: A002 - PEP 681's name
    """Return the default of a field that is made anew for every instance; without `repr` it isn't shown."""
    return cast("T", Default(default_factory, secret=not repr))


@dataclass_transform(field_specifiers=(field,))
def dataclass(
    *, slots: bool = False, frozen: bool = False, kw_only: bool = False
) -> Callable[[type[T]], type[T]]:
    """Give a class `__init__`, `__eq__`, `__repr__`, `__hash__` where it is `frozen`, and slots where asked for.

    Fields are the annotations of the class and, before them, of the dataclasses that it inherits from. Without
    `kw_only` they can be given by position too. An `__init__` of the class's own stays.
    """

    def decorate(cls: type[T]) -> type[T]:
        return _make(cls, slots=slots, frozen=frozen, kw_only=kw_only)

    return decorate


def fields(kind: type | object) -> tuple[Field, ...]:
    """Return the fields of a dataclass or of an instance of one, in order; raises TypeError for anything else."""
    found = getattr(kind, _FIELDS, None)
    if found is None:
        raise TypeError(f"{kind!r} is not a dataclass")
    return cast("tuple[Field, ...]", found)


def is_dataclass(value: object) -> bool:
    """Tell whether `value` is a dataclass or an instance of one."""
    return hasattr(value, _FIELDS)


def replace(instance: T, /, **changes: Any) -> T:
    """Return a copy of an instance with other values in some fields; raises TypeError for a field that it hasn't."""
    values = {item.name: getattr(instance, item.name) for item in fields(instance)}
    unknown = changes.keys() - values.keys()
    if unknown:
        raise TypeError(f"{type(instance).__name__} has no field {', '.join(sorted(unknown))}")
    return type(instance)(**{**values, **changes})


def _make(cls: type[T], *, slots: bool, frozen: bool, kw_only: bool) -> type[T]:
    body = dict(cls.__dict__)
    annotations: dict[str, str] = body.get("__annotations__", {})
    own = [
        _field(body, name, annotation)
        for name, annotation in annotations.items()
        if not annotation.startswith(("ClassVar", "typing.ClassVar"))
    ]
    inherited = [item for base in cls.__bases__ for item in getattr(base, _FIELDS, ())]
    names = {item.name for item in own}
    every = (*(item for item in inherited if item.name not in names), *own)
    taken = {item.name for item in inherited}
    for name in ("__dict__", "__weakref__"):
        body.pop(name, None)
    if slots:
        body["__slots__"] = tuple(item.name for item in own if item.name not in taken)
    body["__match_args__"] = () if kw_only else tuple(item.name for item in every)
    body["__qualname__"] = cls.__qualname__
    body[_FIELDS] = every
    for name, function in _FROZEN if frozen else _MUTABLE:
        body.setdefault(name, function)
    metaclass: Any = type(cls)
    made = metaclass(cls.__name__, cls.__bases__, body)
    if "__init__" not in body:
        made.__init__ = _initialiser(made, every, kw_only=kw_only)
    return cast("type[T]", made)


def _field(body: dict[str, Any], name: str, annotation: str) -> Field:
    """Take the default of a field out of the class, where its slot goes."""
    default = body.pop(name, _MISSING)
    if isinstance(default, Default):
        return Field(name, annotation, _MISSING, default.factory, secret=default.secret)
    if type(default).__hash__ is None:
        raise ValueError(f"{name}: a {type(default).__name__} would be shared: use default_factory")
    return Field(name, annotation, default, None, secret=False)


def _initialiser(cls: type, every: tuple[Field, ...], *, kw_only: bool) -> Callable[..., None]:
    name = cls.__name__
    table = tuple((item.name, _setter(cls, item.name), item.default, item.factory) for item in every)
    positional = () if kw_only else tuple(item.name for item in every)

    def __init__(self: Any, /, *args: Any, **given: Any) -> None:  # noqa: N807 - it becomes the method
        if args:
            if len(args) > len(positional) or given.keys() & set(positional[: len(args)]):
                raise TypeError(f"{name}() takes {len(positional)} positional arguments, each once")
            given.update(zip(positional, args, strict=False))
        count = 0
        for key, set_slot, default, factory in table:
            if key in given:
                set_slot(self, given[key])
                count += 1
            elif factory is not None:
                set_slot(self, factory())
            elif default is not _MISSING:
                set_slot(self, default)
            else:
                raise TypeError(f"{name}() lacks {key}")
        if count != len(given):
            unknown = given.keys() - {item.name for item in every}
            raise TypeError(f"{name}() has no field {', '.join(sorted(unknown))}")

    return __init__


def _setter(cls: type, name: str) -> Callable[[Any, Any], None]:
    """Return what sets an attribute past the `__setattr__` of frozen classes."""
    slot = getattr(cls, name, None)
    if slot is not None:
        return cast("Callable[[Any, Any], None]", slot.__set__)
    return lambda instance, value: object.__setattr__(instance, name, value)


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, item.name) for item in self.__fields__])


def _eq(self: Any, other: object) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    return _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in self.__fields__ if not f.secret)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_to_set(self: Any, name: str, _value: Any) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name}")


def _refuse_to_delete(self: Any, name: str) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name}")


def _reduce(self: Any) -> tuple[Any, ...]:
    return _restore, (type(self), _values(self))


def _restore(cls: type[T], values: tuple[Any, ...]) -> T:
    return cls(**{item.name: value for item, value in zip(fields(cls), values, strict=True)})


_SHARED = (("__eq__", _eq), ("__repr__", _repr), ("__reduce__", _reduce))
_FROZEN = (
    *_SHARED,
    ("__hash__", _hash),
    ("__setattr__", _refuse_to_set),
    ("__delattr__", _refuse_to_delete),
)
_MUTABLE = (*_SHARED, ("__hash__", None))
