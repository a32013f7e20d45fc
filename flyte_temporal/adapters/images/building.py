"""`Builder`: sees to it that a declared image exists, by podman or docker on the client's machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flyte_temporal.adapters.images.recipe import recipe
from flyte_temporal.config.defaults import BuilderSettings
from flyte_temporal.errors import BadRequest, PlatformError
from flyte_temporal.sdk.image_files import LEFT_OUT, content_digest
from flyte_temporal.spec.images import Declared

NOOP = "noop"
"""Builder that builds nothing: the image is somebody else's business."""
_KNOWN = ("", "default", "podman", "docker", NOOP)


class ImageNotBuilt(PlatformError):
    """A declared image could not be built or pushed."""

    code = "ImageNotBuilt"


@dataclass
class Builder:
    """Builds what is not there.

    Args:
        settings: Which program, and how it is called.
        say: Where to tell what takes long.
    """

    settings: BuilderSettings = field(default_factory=BuilderSettings)
    say: Callable[[str], None] = lambda _: None
    _there: set[str] = field(default_factory=set)

    def provide(self, declared: Declared, root: Path | None) -> None:
        """See to it that an image exists; build it if it does not, and push it if it has a registry.

        One with a registry exists once it is there: that it is on this machine may be all that a push which failed has left.

        Args:
            declared: The image.
            root: Folder of the code, below which the files of the declaration are.

        Raises:
            BadRequest: If what is declared cannot be built, or a file of it has changed.
            ImageNotBuilt: If the builder failed.
        """
        declaration = dict(declared.declaration)
        builder = str(declaration.get("builder") or "")
        if builder == NOOP or declared.image in self._there:
            return
        if builder not in _KNOWN:
            raise BadRequest(
                f"ImageSpec(builder={builder!r}) of {declared.by}: there is no such builder. Use podman, docker or noop, or "
                "leave it out."
            )
        program = self._program(builder, declared)
        pushed = bool(declaration.get("registry"))
        if not (pushed and self._asks(program, ["manifest", "inspect", declared.image])):
            if not self._asks(program, ["image", "inspect", declared.image]):
                self._build(program, declared, declaration, root)
            if pushed:
                self.say(f"Pushing {declared.image}.")
                problem = f"The image {declared.image} could not be pushed"
                self._run(program, ["push", "--quiet", declared.image], problem)
        self._there.add(declared.image)

    def _program(self, builder: str, declared: Declared) -> str:
        wanted = (
            [builder]
            if builder in {"podman", "docker"}
            else [self.settings.program]
            if self.settings.program
            else ["podman", "docker"]
        )
        for name in wanted:
            if shutil.which(name) is not None:
                return name
        raise ImageNotBuilt(
            f"The image {declared.image} of {declared.by} has to be built, and {' and '.join(wanted)} "
            f"{'are' if len(wanted) > 1 else 'is'} not installed here. Install podman (Debian, Ubuntu: apt-get install "
            'podman), or build and push the image elsewhere and write builder="noop".'
        )

    def _build(
        self, program: str, declared: Declared, declaration: dict[str, Any], root: Path | None
    ) -> None:
        base = declaration.get("base_image")
        if isinstance(base, dict):
            inner = Declared(_name_of(base), base, declared.by)
            self.provide(inner, root)
            declaration["base_image"] = inner.image
        self.say(f"Building the image {declared.image} ({program}); later runs find it.")
        made = (
            recipe(declaration)
            if self.settings.runtime is None
            else recipe(declaration, self.settings.runtime)
        )
        with tempfile.TemporaryDirectory(prefix="flyte-temporal-image-") as folder:
            context = Path(folder)
            (context / "Containerfile").write_text(made.text, encoding="utf-8")
            for place, (name, digest) in made.files.items():
                _copied(name, digest, root, context / place, declared)
            words = ["build", "--quiet", "--file", str(context / "Containerfile"), "--tag", declared.image]
            words += [
                part for id_, path in made.secrets.items() for part in ("--secret", f"id={id_},src={path}")
            ]
            words += ["--platform", made.platform] if made.platform and not _local(declaration) else []
            self._run(
                program,
                [*words, *self.settings.options, folder],
                f"The image {declared.image} of {declared.by} could not be built",
            )

    @staticmethod
    def _asks(program: str, words: Sequence[str]) -> bool:
        return subprocess.run([program, *words], capture_output=True, check=False).returncode == 0

    @staticmethod
    def _run(program: str, words: Sequence[str], problem: str) -> None:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise ImageNotBuilt(f"{problem}: `{program} {words[0]}` ended with {done.returncode}.\n{said}")


def _local(declaration: Mapping[str, Any]) -> bool:
    """Return whether the base is an image of this machine, which has one platform only."""
    return str(declaration.get("base_image") or "").startswith("localhost/")


def _name_of(declaration: Mapping[str, Any]) -> str:
    from flyte_temporal.sdk.images import name_of

    return name_of(declaration)


def _copied(name: str, digest: str, root: Path | None, target: Path, declared: Declared) -> None:
    """Copy a file or folder of a declaration: the one below the code's root that has its name, and its digest."""
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
