"""Moves the bytes of files and dataframes between this machine, the blob store and addresses of the user's own.

Called by `file`, `dataframe` and `text`. Apart from them, because which addresses may be read is decided here alone
(reliability.md, row 49): fsspec would also follow `github://`, `zip::http://…` and others.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from flyte_temporal.errors import CorruptBlob, FlyteTemporalError, StorageError
from flyte_temporal.sdk.types.converter import InProcess, Misfit, ValueContext
from flyte_temporal.spec.literals import FileValue

SCHEMES = ("file", "s3", "gs", "gcs", "http", "https")
"""Schemes of addresses that a value may have."""

_CHUNK = 1024 * 1024
_TIMEOUT_S = 60.0
_PACKAGES = {"s3": "flyte-temporal[s3]", "gs": "flyte-temporal[gcs]", "gcs": "flyte-temporal[gcs]"}


def is_uri(text: str) -> bool:
    """Return whether some text is an address rather than a local path."""
    return "://" in text or "::" in text


def check_scheme(uri: str, context: ValueContext | None = None) -> None:
    """Refuse addresses that we do not read.

    Raises:
        Misfit: If the scheme is not in `SCHEMES`, or the address chains several (`zip::…`).
    """
    if is_stored(uri, context):
        return
    scheme = urlsplit(uri).scheme
    if "::" in uri.partition("?")[0] or scheme not in SCHEMES:
        raise Misfit(
            f"the address {uri!r} cannot be read: allowed are local paths and the schemes {', '.join(SCHEMES)}"
        )


def is_stored(uri: str, context: ValueContext | None) -> bool:
    """Return whether an address is below our own blob store."""
    return context is not None and context.blobs is not None and context.blobs.key(uri) is not None


def local_path(uri: str) -> Path | None:
    """Return the path of a `file://` address, None for others."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" and parts.netloc in {"", "localhost"} else None


def name_of(uri: str) -> str:
    """Return the file name at the end of an address."""
    return unquote(PurePosixPath(urlsplit(uri).path).name)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="flyte-temporal-files-", ignore_cleanup_errors=True)


def own_scratch() -> Path:
    """Return a folder for files of code outside of any run; it is removed when the process ends."""
    return Path(_temporary().name)


def target_for(value: FileValue, context: ValueContext | None) -> Path:
    """Return a path, in a new folder of its own, for the copy of a file; nothing is made yet."""
    scratch = context.scratch if context is not None else own_scratch()
    name = Path(value.name or Path(urlsplit(value.uri).path).name).name
    return scratch / "files" / uuid.uuid4().hex / (name if name not in {"", "..", "."} else "file")


def upload(path: Path, context: ValueContext, format_: str = "", name: str = "") -> FileValue:
    """Store a local file under its digest; without a store, return its local address.

    Between the tasks of a plain run it is the address of a copy, because whoever made the file may write it anew.

    Raises:
        Misfit: If it does not exist, is a directory, or cannot be read.
        StorageError: If the store refused it.
    """
    check_file(path)
    try:
        if isinstance(context, InProcess):
            path = _snapshot(path, context, name)
        if context.blobs is None:
            return FileValue(
                uri=path.absolute().as_uri(), name=name, format=format_, size=path.stat().st_size
            )
        path, give = gift(path, context)
        stored = context.blobs.put_file(path, give=give)
    except OSError as error:
        raise Misfit(f"the file {str(path)!r} cannot be read: {error.strerror or error}") from error
    return FileValue(
        uri=context.blobs.uri(stored.key), name=name, format=format_, sha256=stored.sha256, size=stored.size
    )


def gift(path: Path, context: ValueContext) -> tuple[Path, bool]:
    """Return the path of a file without links, and whether it is given away to the store."""
    if not context.gives:
        return path, False
    real = path.resolve()
    own = (context.scratch, context.working_directory)
    return real, any(folder is not None and real.is_relative_to(folder.resolve()) for folder in own)


def _snapshot(path: Path, context: ValueContext, name: str) -> Path:
    copy = target_for(FileValue(uri=path.absolute().as_uri(), name=name), context)
    copy.parent.mkdir(parents=True)
    shutil.copyfile(path, copy)
    return copy


def check_file(path: Path) -> None:
    """Refuse what is not a file on this machine.

    Raises:
        Misfit: If it does not exist, is a directory, or cannot be looked at.
    """
    try:
        if path.is_file():
            return
        problem = "is a directory, not a file" if path.is_dir() else "does not exist"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        problem = f"cannot be read: {error}"
    raise Misfit(f"the file {str(path)!r} {problem}")


def digest(path: Path) -> tuple[str, int]:
    """Return the SHA-256 and the size in bytes of a file, read in pieces."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256")
        return found.hexdigest(), stream.tell()


def download(value: FileValue, target: Path, context: ValueContext | None) -> None:
    """Copy a file to a local path, complete or not at all.

    Raises:
        CorruptBlob: If the content does not have the recorded digest.
        FileNotFoundError: If an address of the user's own leads nowhere.
        StorageError: If the store does not have it, or it could not be read.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if context is not None and context.blobs is not None and (key := context.blobs.key(value.uri)):
        if not context.blobs.fetch(key, target, value.sha256):
            raise StorageError(f"The file {value.uri} is not in the blob store any more.")
        return
    partial = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with address_errors(value.uri):
            with opened(value.uri) as source, partial.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK)
                announced = announced_size(source)
            _check_copy(partial, value, value.size if announced is None else announced)
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def address_errors(uri: str, verb: str = "read") -> Iterator[None]:
    """Turn the errors of whatever protocol an address has into ours.

    Args:
        uri: The address.
        verb: What is done with it, `read` or `written`.

    Raises:
        FileNotFoundError: If it leads nowhere.
        StorageError: If it cannot be used in any other way.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "there is no such file", uri) from error
    except FlyteTemporalError:
        raise
    except ImportError as error:
        package = _PACKAGES.get(urlsplit(uri).scheme, str(error.name))
        raise StorageError(
            f"To {'read' if verb == 'read' else 'write'} {uri}, install {package}: {error}"
        ) from error
    except Exception as error:  # each protocol has errors of its own
        if getattr(error, "code", None) in {404, 410}:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", uri) from error
        raise StorageError(f"{uri} cannot be {verb}: {error}") from error


def announced_size(source: Any) -> int | None:
    """Return the size that a web server announced for what it sends, in bytes."""
    announced = getattr(source, "headers", {}).get("Content-Length")
    return int(announced) if announced else None


def stream(value: FileValue, context: ValueContext | None, **options: Any) -> tuple[IO[bytes], FileValue]:
    """Open a file for reading where it is, and return it with all that is known about it.

    Args:
        value: The file.
        context: Its store.
        options: Options of fsspec, for addresses that are opened by it.

    Raises:
        FileNotFoundError: If an address of the user's own leads nowhere.
        StorageError: If the store does not have it, or it could not be read.
    """
    if context is not None and context.blobs is not None and (key := context.blobs.key(value.uri)):
        stored = context.blobs.open(key, value.sha256)
        if stored is None:
            raise StorageError(f"The file {value.uri} is not in the blob store any more.")
        return stored, value
    with address_errors(value.uri):
        # Entered by hand: whoever got the stream closes it.
        source = opened(value.uri, **options).__enter__()
    size = announced_size(source)
    return source, value if size is None else value.model_copy(update={"size": size})


def _check_copy(copy: Path, value: FileValue, size: int | None) -> None:
    found = copy.stat().st_size
    if size is not None and found != size:  # urllib takes a connection that breaks off for the end
        raise StorageError(f"{value.uri} cannot be read: {found} of {size} bytes came.")
    if value.sha256 is not None and digest(copy)[0] != value.sha256:
        raise CorruptBlob(f"{value.uri} does not have the recorded digest {value.sha256}.")


def opened(uri: str, **options: Any) -> AbstractContextManager[IO[bytes]]:
    """Open an address of the user's own for reading; `options` are fsspec's.

    Raises:
        OSError: If it cannot be read.
        ImportError: If the package for its scheme is not installed.
    """
    local = local_path(uri)
    if local is not None:
        return local.open("rb")
    if urlsplit(uri).scheme in {"http", "https"}:
        import urllib.error
        import urllib.request  # the base install has no aiohttp, which fsspec would need here

        # the default opener would also follow file: and ftp: addresses
        handlers: tuple[type[urllib.request.BaseHandler], ...] = (
            urllib.request.ProxyHandler,
            urllib.request.HTTPHandler,
            urllib.request.HTTPSHandler,
            urllib.request.HTTPRedirectHandler,
            urllib.request.HTTPErrorProcessor,
            urllib.request.HTTPDefaultErrorHandler,
            urllib.request.UnknownHandler,
        )
        opener = urllib.request.OpenerDirector()
        for handler in handlers:
            opener.add_handler(handler())
        try:
            response: Any = opener.open(uri, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            raise
        return response  # type: ignore[no-any-return]
    import fsspec

    found: Any
    if options:  # those of `fsspec.open` would go to the file system, which has others
        system, path = fsspec.core.url_to_fs(uri)
        found = system.open(path, "rb", **options)
    else:
        found = fsspec.open(uri, "rb")
    return found  # type: ignore[no-any-return]


def discard(path: Path) -> None:
    """Remove a scratch file and its folder."""
    path.unlink(missing_ok=True)
    if not os.listdir(path.parent):  # noqa: PTH208 - one look, no objects needed
        path.parent.rmdir()
