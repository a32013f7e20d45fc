"""The client's half of an upload by a signed address: what a file is (`described`), and its bytes (`send`).

Apart from the stores because whoever uploads has no store and no credentials, only an address for one PUT of one object, which
the control plane gave out (`control.uploads`). Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
import urllib.error
import urllib.request
from pathlib import Path

from flyte_temporal.errors import BadRequest, StorageError
from flyte_temporal.spec.uploads import Upload, UploadRequest

_TRIES = 5
_TIMEOUT_S = 60.0
_PIECE = 1024 * 1024


def described(path: Path) -> UploadRequest:
    """Return what a local file is; it is read once.

    Raises:
        BadRequest: If it is no file, or cannot be read.
    """
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                sha256.update(piece)
                md5.update(piece)
                size += len(piece)
    except OSError as error:
        raise BadRequest(f"The file {str(path)!r} cannot be uploaded: {error.strerror or error}.") from error
    return UploadRequest(sha256=sha256.hexdigest(), md5=md5.hexdigest(), size=size)


def send(path: Path, upload: Upload, pause_s: float = 0.2) -> None:
    """Send a file to a signed address; what breaks off is sent again, which changes nothing if it had arrived.

    Args:
        path: The file, unchanged since it was described.
        upload: Where to.
        pause_s: First pause between tries, in seconds; doubled each time.

    Raises:
        StorageError: If the store refused it, or did not answer. The address is not told: it is a secret while it lives.
    """
    problem = ""
    for number in range(_TRIES):
        if number:
            time.sleep(pause_s * 2 ** (number - 1) * (1 + random.random()))  # noqa: S311 - only spreads retries
        try:
            _put(path, upload)
            return
        except urllib.error.HTTPError as error:
            with error:
                problem = f"HTTP {error.code} {error.reason}"
                if error.code < 500 and error.code not in {408, 429}:
                    problem += f": {error.read(500).decode(errors='replace')}"
                    break
        except OSError as error:
            problem = f"{type(error).__name__}: {getattr(error, 'reason', error)}"
    raise StorageError(
        f"The upload of {str(path)!r} failed ({problem}). Was the file changed meanwhile, or the address older than 15 minutes? "
        "Ask for another one."
    )


def _put(path: Path, upload: Upload) -> None:
    scheme = upload.url.partition("://")[0]
    if scheme not in {"http", "https"}:
        raise StorageError(f"An address with the scheme {scheme!r} is none to upload to.")
    headers = {"Content-Type": "application/octet-stream", **upload.headers}
    with path.open("rb") as file:
        # Else it is sent in chunks, which stores refuse.
        headers.setdefault("Content-Length", str(os.fstat(file.fileno()).st_size))
        request = urllib.request.Request(upload.url, data=file, method="PUT", headers=headers)  # noqa: S310 - checked above
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
            answer.read()
