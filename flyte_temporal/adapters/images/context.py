"""What a builder's folder holds besides the Containerfile: files of the declaration, and flyte-temporal itself as a wheel.

Apart from `building`, which calls programs, because all of this is files of this machine.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from flyte_temporal.errors import BadRequest
from flyte_temporal.sdk.image_files import LEFT_OUT, content_digest
from flyte_temporal.spec.images import Declared

_PACKAGE = Path(__file__).resolve().parents[2]
_DISTRIBUTION = "flyte-temporal"


def copy_declared(name: str, digest: str, root: Path | None, target: Path, declared: Declared) -> None:
    """Copy a file or folder of a declaration: the one below the code's root that has its name, and its digest.

    Raises:
        BadRequest: If there is none.
    """
    for path in _named(name, root):
        if not digest or content_digest(path) == digest:
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
            else:
                shutil.copyfile(path, target)
            return
    raise BadRequest(
        f"ImageSpec of {declared.by}: {name!r} is not below {root}, or has changed since the image was declared."
    )


def secret_file(name: str, root: Path | None, declared: Declared) -> Path:
    """Return the file of a secret of a declaration, which has no digest of it: nothing of a secret is stored.

    Raises:
        BadRequest: If there is none of its name, or there are several that differ.
    """
    found = [path for path in _named(name, root) if path.is_file()]
    if found and all(path.read_bytes() == found[0].read_bytes() for path in found[1:]):
        return found[0]
    what = "several files below {} have this path, and differ" if found else "there is no such file below {}"
    raise BadRequest(
        f"ImageSpec(pip_secret_mounts=...) of {declared.by}: {name!r}: {what.format(root)}. Write its path from the folder of "
        "the code, or an absolute one."
    )


def _named(name: str, root: Path | None) -> Iterator[Path]:
    """Yield what may be meant by a name in a declaration, whose module may be in any folder of the code."""
    if Path(name).is_absolute():
        folders: list[Path] = [Path("/")]
    else:
        folders = [] if root is None else [root, *_folders(root)]
    yield from (path for folder in folders if (path := folder / name).exists())


def _folders(root: Path) -> list[Path]:
    found = (path for path in sorted(root.rglob("*")) if path.is_dir())
    return [path for path in found if not LEFT_OUT.intersection(path.relative_to(root).parts)]


def write_own_wheel(folder: Path) -> str:
    """Write what runs here, flyte-temporal itself, into a folder as a wheel, and return its name; empty if it is not installed.

    It is put together from the installed files, because a checkout's version may be on no package index, and what builds
    wheels from sources on no machine.

    Args:
        folder: Where the wheel goes.
    """
    try:
        own = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""
    info = f"{_PACKAGE.name}-{own.version}.dist-info"
    files = {
        path.relative_to(_PACKAGE.parent).as_posix(): path.read_bytes()
        for path in sorted(_PACKAGE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    files[f"{info}/METADATA"] = (own.read_text("METADATA") or "").encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    listed = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    files[f"{info}/RECORD"] = listed.encode()
    wheel = f"{_PACKAGE.name}-{own.version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            # Without times, so that the same files give the same bytes, and a builder finds the layer that it has.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return wheel
