"""Database errors as errors of ours, each with its cause and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from flyte_temporal.errors import PlatformUnavailable

_SQLITE = (
    (
        ("file is not a database", "malformed", "file is encrypted", "disk i/o error"),
        (
            "is damaged. Move it away: a new one is made at the next start, and executions that still run in Temporal "
            "are not touched; the list of earlier ones is lost. (`sqlite3 FILE .recover` may save it)"
        ),
    ),
    (
        ("locked", "busy"),
        (
            "has been locked by another process for longer than the busy time-out. Find it with `fuser FILE` and let it "
            "finish, or raise FLYTE_TEMPORAL_METADATA__BUSY_TIMEOUT_S"
        ),
    ),
    (
        ("unable to open", "readonly", "permission denied"),
        (
            "cannot be opened for writing. Check that its folder exists and belongs to you, or set FLYTE_TEMPORAL_HOME "
            "to a folder that does"
        ),
    ),
    (("disk is full",), "cannot be written because the disk is full. Free some space and try again"),
    (
        ("no such table", "no such column"),
        "has no tables of this release. Run `upgrade`, or let the stack start once",
    ),
)


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn what SQLAlchemy raises inside into `PlatformUnavailable`.

    Args:
        url: The database, for the message; its password is never shown.

    Raises:
        PlatformUnavailable: Instead of any database error.
    """
    try:
        yield
    except PoolTimeout as error:
        raise PlatformUnavailable(
            f"No connection to the metadata store {_shown(url)} became free. Too much asks at once; try again."
        ) from error
    except DBAPIError as error:
        raise PlatformUnavailable(_sentence(url, str(error.orig))) from error
    except OSError as error:
        raise PlatformUnavailable(_sentence(url, f"unable to open: {error}")) from error
    except SQLAlchemyError as error:
        raise PlatformUnavailable(f"The metadata store {_shown(url)} failed: {error}") from error


def _sentence(url: URL, cause: str) -> str:
    cause = " ".join(cause.split())
    if url.get_backend_name() != "sqlite":
        return (
            f"The metadata store {_shown(url)} did not answer: {cause}. "
            "Check that the server runs and that FLYTE_TEMPORAL_METADATA__URL is right."
        )
    low = cause.lower()
    for marks, advice in _SQLITE:
        if any(mark in low for mark in marks):
            return f"The metadata database {url.database} {advice}. (SQLite says: {cause})"
    return f"The metadata database {url.database} failed: {cause}"


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)
