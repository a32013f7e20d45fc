"""`--image` of `run` and `recover`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_temporal.errors import BadRequest, InvalidIdentifier
from flyte_temporal.spec.identifiers import image_name

if TYPE_CHECKING:
    from flyte_temporal.cli.words import RunOptions


def given_images(options: RunOptions) -> dict[str, str]:
    """Return what `--image` gives: by name, and by the empty text the one without a name.

    Raises:
        BadRequest: If it is no image, or given twice.
    """
    found: dict[str, str] = {}
    for text in options.all.get("--image", []):
        name, separator, uri = text.rpartition("=")
        if not uri or (separator and not name.replace("-", "_").isidentifier()):
            raise BadRequest(f"--image: write URI, or NAME=URI, not {text!r}.")
        if name in found:
            raise BadRequest(f"--image: {name or 'the default image'} is given twice; give it once.")
        try:
            image_name(uri)
        except InvalidIdentifier as error:
            raise BadRequest(f"--image: {error.message}") from None
        found[name] = uri
    return found
