"""The brackets of `FlyteFile[...]` and `FlyteDirectory[...]`: a generic class to type checkers, the class's own at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    F = TypeVar("F", default=Any)

    class Parameterized(Generic[F]):
        """Lets type checkers read the brackets, whatever stands in them."""

else:
    F = None

    class Parameterized:
        """See above."""

        def __class_getitem__(cls, _item: object) -> type:
            return cls
