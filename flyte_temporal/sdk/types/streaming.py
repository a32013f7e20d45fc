"""Files that are read and written in pieces where they are, with the digest of all that passes.

`FlyteFile.open` returns these. Reading verifies, writing hashes, so that a file which is written this way is not read
again when it leaves its task. Apart from `file` because nothing here knows where bytes come from.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, Protocol

from flyte_temporal.errors import CorruptBlob, FlyteTemporalError, StorageError
from flyte_temporal.spec.literals import FileValue
from flyte_temporal.storage.hashing import Digest

_PIECE = 1024 * 1024


class Sink(Protocol):
    """Where a stream is written to: all of it at the end, or nothing."""

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            StorageError: If they cannot be written.
        """

    def commit(self) -> None:
        """Make what was written the content.

        Raises:
            StorageError: If that was not possible.
        """

    def abort(self) -> None:
        """Throw away what was written."""


class Reading(io.RawIOBase):
    """A file that is read where it is.

    Once all bytes were read in order (whatever was read twice in between), they are compared with the recorded digest
    and size, before the last of them are handed out. A reader that leaves parts out verifies nothing. A source that is known to have the
    digest (`BlobStore.open`) is asked at the end whether it was left alone, instead of being hashed.

    Args:
        source: The open file.
        value: What is known about it.
    """

    def __init__(self, source: IO[bytes], value: FileValue) -> None:
        super().__init__()
        self.name = value.uri
        self._source, self._value = source, value
        self._is_intact: Callable[[], bool] | None = getattr(source, "is_intact", None)
        self._digest: Digest | None = None if self._is_intact else Digest()
        self._position = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Return whether the source can seek; a web page cannot."""
        return self._source.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere."""
        self._position = self._source.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; see the class for what is raised at the end."""
        if self._is_intact is not None and (into := getattr(self._source, "readinto", None)) is not None:
            count = int(into(buffer))
            self._check_intact(count)
            self._position += count
            return count
        wanted = len(buffer)
        data = self._read(wanted) if wanted else b""
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Read the rest, in pieces."""
        return b"".join(iter(lambda: self._read(_PIECE), b""))

    def _read(self, wanted: int) -> bytes:
        try:
            data = self._source.read(wanted)
        except FlyteTemporalError:
            raise
        except Exception as error:  # each protocol has errors of its own
            raise StorageError(f"{self.name} cannot be read: {error}") from error
        self._follow(data)
        self._position += len(data)
        return data

    def _follow(self, data: bytes) -> None:
        if self._is_intact is not None:
            return self._check_intact(len(data))
        digest = self._digest
        if digest is None or self._position > digest.size:
            return self._let_go()
        digest.update(data[digest.size - self._position :])
        complete = self._value.size is not None and digest.size >= self._value.size
        if complete or (not data and self._position == digest.size):
            self._check(digest)
        return None

    def _check_intact(self, count: int) -> None:
        end = not count or self._position + count == self._value.size
        if end and self._is_intact is not None and not self._is_intact():
            raise CorruptBlob(f"{self.name} was written to while it was read.")

    def _check(self, digest: Digest) -> None:
        value = self._value
        if value.size is not None and digest.size < value.size:
            # What connections that break off look like. The same words as for a download.
            self._let_go()
            raise StorageError(f"{value.uri} cannot be read: {digest.size} of {value.size} bytes came.")
        if value.sha256 is not None and digest.hexdigest() != value.sha256:
            self._let_go()
            raise CorruptBlob(f"{value.uri} does not have the recorded digest {value.sha256}.")

    def _let_go(self) -> None:
        if self._digest is not None:
            self._digest.close()
        self._digest = None

    def close(self) -> None:
        """Close the source too."""
        if not self.closed:
            self._let_go()
            self._source.close()
        super().close()


class Writing(io.RawIOBase):
    """A file that is written where it will be. It has its content when it is closed, and not if an error came before.

    Args:
        sink: Where to.
        name: Address or name, for messages.
        done: Called at the end, when the content is there.
    """

    def __init__(self, sink: Sink, name: str, done: Callable[[], None]) -> None:
        super().__init__()
        self.name = name
        self.failed = False
        self._sink, self._done = sink, done

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: Any) -> int:
        """Add bytes.

        Raises:
            StorageError: If they cannot be written.
        """
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        piece = bytes(data)
        try:
            self._sink.write(piece)
        except BaseException:
            self.failed = True
            raise
        return len(piece)

    def close(self) -> None:
        """Keep what was written, or throw it away if an error came before.

        Raises:
            StorageError: If it could not be kept.
        """
        if self.closed:
            return
        super().close()
        if self.failed:
            self._sink.abort()
            return
        self._sink.commit()
        self._done()


class _Bytes(io.BufferedWriter):
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        _fail_if(kind, self.raw)
        super().__exit__(kind, error, place)


class _Text(io.TextIOWrapper):
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        _fail_if(kind, getattr(self.buffer, "raw", None))
        super().__exit__(kind, error, place)


def _fail_if(kind: type[BaseException] | None, raw: object) -> None:
    if kind is not None and isinstance(raw, Writing):
        raw.failed = True


def reader(source: IO[bytes], value: FileValue, mode: str, **options: Any) -> IO[Any]:
    """Return a stream for a mode of `open` without `w`, `a`, `x` and `+`.

    Args:
        source: The open file.
        value: What is known about it.
        mode: `r`, `rt` or `rb`.
        options: `encoding`, `errors` and `newline`, for text.
    """
    _check_options(mode, options)
    buffered = io.BufferedReader(Reading(source, value), _PIECE)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, **options)


def writer(raw: Writing, mode: str, **options: Any) -> IO[Any]:
    """Return a stream for a mode of `open` with `w` or `x`; arguments as for `reader`."""
    _check_options(mode, options)
    buffered = _Bytes(raw, _PIECE)
    return buffered if "b" in mode else _Text(buffered, **options)


def _check_options(mode: str, options: dict[str, Any]) -> None:
    if set(mode) - set("rwxbt") or {"b", "t"} <= set(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    options.pop("buffering", None)
    if "b" in mode and any(value is not None for value in options.values()):
        raise ValueError(f"binary mode doesn't take {', '.join(sorted(options))}")
    if "b" in mode:
        options.clear()
