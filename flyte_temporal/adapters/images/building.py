"""`Builder`: sees to it that a declared image exists, by podman or docker on the client's machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flyte_temporal.adapters.images.context import copy_declared, secret_file, write_own_wheel
from flyte_temporal.adapters.images.recipe import Recipe, recipe
from flyte_temporal.config.defaults import BuilderSettings
from flyte_temporal.errors import BadRequest, PlatformError
from flyte_temporal.spec.images import Declared

NOOP = "noop"
"""Builder that builds nothing: the image is somebody else's business."""
_PROGRAMS = ("podman", "docker")
_KNOWN = ("", "default", *_PROGRAMS, NOOP)


class ImageNotBuilt(PlatformError):
    """A declared image could not be built or pushed."""

    code = "ImageNotBuilt"


@dataclass(frozen=True)
class _Engine:
    """The program that builds.

    Args:
        program: Its name or path.
        variables: Those that it gets besides what it inherits.
    """

    program: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def asks(self, *words: str) -> bool:
        """Return whether a call ends well."""
        return subprocess.run(self._command(words), capture_output=True, check=False).returncode == 0

    def run(self, words: Sequence[str], problem: str) -> None:
        """Call it.

        Raises:
            ImageNotBuilt: If that fails; begins with `problem`.
        """
        command = self._command(words)
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise ImageNotBuilt(
                f"{problem}: `{self.program} {words[0]}` ended with {done.returncode}.\n{said}"
            )

    def _command(self, words: Sequence[str]) -> list[str]:
        set_ = [f"{name}={value}" for name, value in self.variables.items()]
        return [*(["env", *set_] if set_ else []), self.program, *words]


@dataclass
class Builder:
    """Builds what is not there.

    Args:
        settings: Which program, and how it is called.
        say: Where to tell what takes long.
        launcher: What is to run the images: one that is itself a program that builds is the first choice, because podman
            and docker do not see each other's images.
    """

    settings: BuilderSettings = field(default_factory=BuilderSettings)
    say: Callable[[str], None] = lambda _: None
    launcher: str = ""
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
        with _logged_in(program, root, declared) as engine:
            self._provide(engine, declared, declaration, root)
        self._there.add(declared.image)

    def _provide(
        self, engine: _Engine, declared: Declared, declaration: dict[str, Any], root: Path | None
    ) -> None:
        pushed = bool(declaration.get("registry"))
        if pushed and engine.asks("manifest", "inspect", declared.image):
            return
        if not engine.asks("image", "inspect", declared.image):
            self._build(engine, declared, declaration, root)
        if pushed:
            self.say(f"Pushing {declared.image}.")
            problem = f"The image {declared.image} could not be pushed"
            engine.run(["push", "--quiet", declared.image], problem)

    def _program(self, builder: str, declared: Declared) -> str:
        wanted = (
            [builder]
            if builder in _PROGRAMS
            else [self.settings.program]
            if self.settings.program
            else sorted(_PROGRAMS, key=lambda name: name != self.launcher)
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
        self, engine: _Engine, declared: Declared, declaration: dict[str, Any], root: Path | None
    ) -> None:
        base = declaration.get("base_image")
        if isinstance(base, dict):
            inner = Declared(_name_of(base), base, declared.by)
            self.provide(inner, root)
            declaration["base_image"] = inner.image
        self.say(f"Building the image {declared.image} ({engine.program}); later runs find it.")
        with tempfile.TemporaryDirectory(prefix="flyte-temporal-image-") as folder:
            context = Path(folder)
            made = self._recipe(declaration, context)
            (context / "Containerfile").write_text(made.text, encoding="utf-8")
            for place, (name, digest) in made.files.items():
                copy_declared(name, digest, root, context / place, declared)
            words = ["build", "--quiet", "--file", str(context / "Containerfile"), "--tag", declared.image]
            for id_, name in made.secrets.items():
                words += ["--secret", f"id={id_},src={secret_file(name, root, declared)}"]
            words += ["--platform", made.platform] if made.platform and not _local(declaration) else []
            engine.run(
                [*words, *self.settings.options, folder],
                f"The image {declared.image} of {declared.by} could not be built",
            )

    def _recipe(self, declaration: Mapping[str, Any], context: Path) -> Recipe:
        """Return the recipe; the flyte-temporal that runs here is in the context, unless another one is asked for."""
        if self.settings.runtime is not None:
            return recipe(declaration, self.settings.runtime)
        wheel = write_own_wheel(context)
        return recipe(declaration, wheel=wheel) if wheel else recipe(declaration)


@contextmanager
def _logged_in(program: str, root: Path | None, declared: Declared) -> Iterator[_Engine]:
    """Give a program that builds, which knows the registries as a file of the declaration says, if it names one."""
    config = declared.declaration.get("registry_config")
    if not isinstance(config, dict):
        yield _Engine(program)
        return
    with tempfile.TemporaryDirectory(prefix="flyte-temporal-registry-") as folder:
        file = Path(folder) / "config.json"
        copy_declared(str(config["file"]), str(config["sha256"]), root, file, declared)
        # Podman looks at the first, docker at the second; their options for it differ, and stand at other places.
        yield _Engine(program, {"REGISTRY_AUTH_FILE": str(file), "DOCKER_CONFIG": folder})


def _local(declaration: Mapping[str, Any]) -> bool:
    """Return whether the base is an image of this machine, which has one platform only."""
    return str(declaration.get("base_image") or "").startswith("localhost/")


def _name_of(declaration: Mapping[str, Any]) -> str:
    from flyte_temporal.sdk.images import name_of

    return name_of(declaration)
