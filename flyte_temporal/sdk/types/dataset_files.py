"""Writes a dataset's file to an address of the author's own (`StructuredDataset(df, uri="s3://…")`)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from flyte_temporal.errors import StorageError
from flyte_temporal.sdk.types import transfer
from flyte_temporal.sdk.types.converter import Misfit, ValueContext
from flyte_temporal.spec.literals import FileValue

_CHUNK = 1024 * 1024


def put(write: Callable[[Path], None], uri: str, context: ValueContext) -> FileValue:
    """Write a file and put it at a path or address, replacing what is there.

    Args:
        write: Writes the file at a path.
        uri: Where it is wanted.
        context: Its scratch folder takes the file on its way.

    Raises:
        Misfit: If nothing can be written there.
        StorageError: If it was refused.
    """
    target = transfer.local_path(uri) if transfer.is_uri(uri) else Path(uri).expanduser().absolute()
    if target is None:
        transfer.check_scheme(uri, context)
        if urlsplit(uri).scheme in {"http", "https"}:
            raise Misfit(f"nothing can be written to {uri!r}; give a path or an s3:// or gs:// address")
    context.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=context.scratch) as folder:
        path = Path(folder) / "data"
        write(path)
        sha256, size = transfer.digest(path)
        try:
            _move(path, uri, target)
        except OSError as error:
            raise StorageError(f"{uri} cannot be written: {error.strerror or error}") from error
        except ImportError as error:
            raise StorageError(f"To write {uri}, install the package for it: {error}") from error
    return FileValue(uri=target.as_uri() if target is not None else uri, sha256=sha256, size=size)


def _move(path: Path, uri: str, target: Path | None) -> None:
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.part")
        shutil.copyfile(path, partial)
        partial.replace(target)
        return
    import fsspec

    with path.open("rb") as source, fsspec.open(uri, "wb") as sink:
        shutil.copyfileobj(source, sink, _CHUNK)
