"""Which annotations are the same one: the key under which the engine keeps a compiled conversion.

Python's own equality will not do: `Union[int, str] == Union[str, int]`, but their members are tried in declared order;
and metadata in `Annotated` need not be hashable.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin


def identity(python_type: Any) -> Any:
    """Return a key that tells annotations apart where their conversion differs; hashable if they are."""
    origin = get_origin(python_type)
    if isinstance(python_type, list):  # the parameters of a Callable
        return tuple(map(identity, python_type))
    if isinstance(python_type, type) or origin is None:
        return python_type
    if origin is Annotated:
        items = tuple(map(_metadata_key, python_type.__metadata__))
        return (Annotated, identity(python_type.__origin__), items)
    if origin is Literal:
        return (Literal, tuple((type(constant), constant) for constant in get_args(python_type)))
    return (origin, tuple(identity(argument) for argument in get_args(python_type)))


def _metadata_key(item: Any) -> Any:
    try:
        hash(item)
    except TypeError:
        return ("unhashable", id(item))
    return (type(item), item)
