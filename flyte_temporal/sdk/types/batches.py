"""`BatchSize`. Apart from `annotations`, because `wrappers`, which that one uses, must know it."""

from __future__ import annotations

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.types.converter import shown


class BatchSize:
    """How many elements are moved at once, as in `Annotated[FlyteDirectory, BatchSize(16)]`; kept with the interface.

    For a directory it is the number of files that are transferred side by side (256 at most); for others a hint.

    Args:
        val: Number of elements.

    Raises:
        CompileError: If it is no number from 1 up.
    """

    def __init__(self, val: int) -> None:
        if type(val) is not int or val < 1:
            raise CompileError(
                f"BatchSize takes a number of elements from 1 up, not {shown(val)}.", call_site()
            )
        self.val = val

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BatchSize) and self.val == other.val

    def __hash__(self) -> int:
        return hash((BatchSize, self.val))

    def __repr__(self) -> str:
        return f"BatchSize({self.val})"
