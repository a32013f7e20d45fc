"""Uploads without credentials: what is to be uploaded, and the signed address to which it goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flyte_temporal.spec.document import Document

LONGEST_S = 15 * 60
"""Longest life of a signed address, in seconds."""


class UploadRequest(Document):
    """A file that somebody wants to upload, known by its bytes.

    Args:
        sha256: Their digest; the file is stored under it.
        md5: Their MD5, which GCS checks.
        size: Their number.
        expires_s: How long the address is to be good for, in seconds.
    """

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    size: Annotated[int, Field(ge=0)]
    expires_s: Annotated[int, Field(ge=1, le=LONGEST_S)] = LONGEST_S


class Upload(Document):
    """A signed address. Whoever has it may do what it says, so it is told to the one who asked and written nowhere.

    Args:
        url: To which the bytes are PUT, in one request.
        headers: Headers that this request must have; they are signed too.
    """

    url: str
    headers: dict[str, str] = {}


class UploadTicket(Document):
    """The answer to a request.

    Args:
        uri: Address of the file in the blob store, to be given as an input, once it is there.
        stored: Whether it is there already.
        upload: Where it goes; None if it is there, or if the store has no signed addresses (a local folder).
    """

    uri: str
    stored: bool = False
    upload: Upload | None = None
