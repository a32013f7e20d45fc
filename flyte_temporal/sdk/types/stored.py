"""A value that is one file of a known format: written to the scratch folder and uploaded, downloaded and read.

Shared by `datasets`, `arrays`, `pictures` and `opaque`, which only say how a file of theirs is written and read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import InProcess, Misfit, ValueContext
from flyte_temporal.spec.literals import FileValue


def store(write: Callable[[Path], None], name: str, format_: str, context: ValueContext) -> FileValue:
    """Store what a function writes into a file.

    Args:
        write: Writes the file at a path, or raises Misfit.
        name: The file's name.
        format_: Its format.
        context: Where it goes.

    Raises:
        Misfit: What `write` raised.
        StorageError: If the store refused it.
    """
    path = transfer.target_for(FileValue(uri="", name=name), context)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = False
    try:
        write(path)
        if isinstance(context, InProcess):
            # Nobody else has the file that was just written, so it needs no copy.
            context = ValueContext(None, context.scratch)
        kept = context.blobs is None
        return transfer.upload(path, context, format_, name)
    finally:
        if not kept:
            transfer.discard(path)


@contextmanager
def fetched(value: FileValue, context: ValueContext, what: str, *, keep: bool = False) -> Iterator[Path]:
    """Give the local path of a file, downloaded if it is not on this machine, for as long as it is read.

    Args:
        value: The file.
        context: Where it comes from.
        what: What it is called in messages.
        keep: Whether the downloaded copy stays in the scratch folder (for a memory map).

    Raises:
        Misfit: If it does not exist, or its address is not one that we read.
        CorruptBlob: If it has not the recorded digest.
        StorageError: If it could not be read.
    """
    transfer.check_scheme(value.uri, context)
    direct = None if transfer.is_stored(value.uri, context) else transfer.local_path(value.uri)
    path = direct or transfer.target_for(value, context)
    try:
        if direct is None:
            transfer.download(value, path, context)
        else:
            direct.stat()
        yield path
    except FileNotFoundError as error:
        raise Misfit(f"the {what} {value.uri!r} does not exist") from error
    finally:
        if direct is None and not keep and path.exists():
            transfer.discard(path)


def file_value(value: Any, what: str) -> FileValue:
    """Return the JSON of a file as a document.

    Raises:
        Misfit: If it is none.
    """
    try:
        return FileValue.model_validate(value)
    except ValueError:
        raise Misfit(f"expected the address of {what}, got {value!r}") from None
