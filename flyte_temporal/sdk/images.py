"""`ImageSpec`: which image a task needs, as a declaration. Its tag is a digest of what is built from it, equal everywhere.

Building and pushing is the business of a builder, which gets the declaration from the task's policy.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from flyte_temporal.errors import CompileError, CredentialStored
from flyte_temporal.sdk.callsite import call_site, is_ours
from flyte_temporal.sdk.image_files import content_digest
from flyte_temporal.sdk.literal_secrets import refuse_credentials
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.document import canonical_json, sha256_hex
from flyte_temporal.spec.policies import image_declaration

TAG_CHARACTERS = 24
RECIPE = 2
"""Number of the way in which declarations become images (`adapters.images.recipe`), a part of each tag: what was built in an
older way has another tag, and so is built anew. Raised with each change of the recipe (a test compares), and of orders that
the runtime in older images cannot read."""
_UNORDERED = frozenset({"packages", "conda_packages", "apt_packages", "runtime_packages"})
_FILES = frozenset({"requirements", "registry_config", "source_root"})
_NOT_CONTENT = frozenset({"name", "registry", "registry_config", "builder", "tag_format"})


@dataclass(frozen=True)
class ImageSpec:
    """What an image holds: `@task(container_image=ImageSpec(packages=["pandas"]))`.

    Args:
        name: Name of the image in its registry.
        registry: Registry, such as `ghcr.io/me`; empty = only on this machine.
        python_version: Python of the image, such as `3.12`; None = the builder's default.
        packages: Python packages for pip.
        requirements: File with Python packages (`requirements.txt`, `uv.lock`, `poetry.lock`), relative to the module
            that declares the image; its content counts, not its path.
        apt_packages: Debian packages.
        conda_packages: Conda packages.
        conda_channels: Conda channels, the first has precedence.
        cuda: CUDA version.
        cudnn: cuDNN version.
        base_image: Image to start from.
        platform: Platform, such as `linux/amd64`.
        env: Environment variables of the image.
        commands: Commands to run, in order.
        copy: Files and folders to copy in, relative to the module that declares the image; their content and their names
            count, because below `/root` they have them.
        source_root: Folder whose content is copied in, relative to the module that declares the image; its content counts.
        pip_index: Address of the package index, without credentials.
        pip_extra_index_url: Addresses of further ones, in order of precedence.
        pip_extra_args: Further arguments of pip.
        pip_secret_mounts: Pairs of a secret file, relative to the module that declares the image, and where pip sees it:
            `("pip.conf", "/etc/pip.conf")`.
        python_exec: Python of the base image.
        runtime_packages: Further Python packages, installed when the image is built, as `packages` are.
        entrypoint: Entry point of the image.
        builder: Name of the builder.
        registry_config: File with the credentials of registries, as `docker login` and `podman login` write it, relative to
            the module that declares the image; it is in no image and does not count.
        tag_format: Format of the tag, with `{spec_hash}` in it.

    Raises:
        CompileError: If a field has a value of the wrong kind, or a file cannot be read.
    """

    name: str = "flyte-temporal"
    registry: str | None = None
    python_version: str | None = None
    packages: Sequence[str] | None = None
    requirements: str | None = None
    apt_packages: Sequence[str] | None = None
    conda_packages: Sequence[str] | None = None
    conda_channels: Sequence[str] | None = None
    cuda: str | None = None
    cudnn: str | None = None
    base_image: str | ImageSpec | None = None
    platform: str = "linux/amd64"
    env: Mapping[str, str] | None = None
    commands: Sequence[str] | None = None
    copy: Sequence[str] | None = None
    source_root: str | None = None
    pip_index: str | None = None
    pip_extra_index_url: Sequence[str] | None = None
    pip_extra_args: str | None = None
    pip_secret_mounts: Sequence[tuple[str, str]] | None = None
    python_exec: str | None = None
    runtime_packages: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    builder: str | None = None
    registry_config: str | None = None
    tag_format: str | None = None

    def __post_init__(self) -> None:
        """Check the kinds of the fields and remember where files are looked for."""
        where = call_site()
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not _fits(value, str(field.type)):
                wanted = "a list of texts" if "Sequence" in str(field.type) else "a text"
                wanted = "a dict of texts" if "Mapping" in str(field.type) else wanted
                raise CompileError(f"ImageSpec({field.name}={shown(value)}) must be {wanted}.", where)
        if self.tag_format is not None and "{spec_hash}" not in self.tag_format:
            raise CompileError(
                f"ImageSpec(tag_format={self.tag_format!r}) must have {{spec_hash}} in it, which tells images apart.",
                where,
            )
        given = {
            f.name: value
            for f in dataclasses.fields(self)
            if not isinstance(value := getattr(self, f.name), ImageSpec)
        }
        try:
            image_declaration(given)
        except CredentialStored as error:
            raise CompileError(error.message, where) from None
        refuse_credentials((self.env or {}).items(), "ImageSpec(env=...)", where)
        object.__setattr__(self, "_where", where)
        object.__setattr__(self, "_folder", _caller_folder())

    @cached_property
    def declaration(self) -> dict[str, Any]:
        """All that is declared, as JSON; the same on every machine. Files are there by their digests.

        Raises:
            CompileError: If a file cannot be read.
        """
        found: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                found[field.name] = self._written(field.name, value)
        return found

    def _written(self, name: str, value: Any) -> Any:
        if isinstance(value, ImageSpec):
            return value.declaration
        if name in _UNORDERED:
            return sorted(value)
        if name in _FILES:
            return {"file": value, "sha256": self._digest(value)}
        if name == "copy":
            return [{"file": each, "sha256": self._digest(each)} for each in sorted(value)]
        if isinstance(value, Mapping):
            return dict(value)
        return (
            [list(v) if isinstance(v, tuple) else v for v in value] if not isinstance(value, str) else value
        )

    def _digest(self, name: str) -> str:
        try:
            return content_digest(getattr(self, "_folder") / name)  # noqa: B009 - set by __post_init__ on a frozen dataclass
        except OSError as error:
            raise CompileError(
                f"ImageSpec: {name!r} cannot be read: {error.strerror}. A relative path starts at the folder of the "
                "module that declares the image.",
                getattr(self, "_where"),  # noqa: B009 - as above
            ) from error

    @cached_property
    def tag(self) -> str:
        """The tag: the digest of what the image holds, without its name and registry; in `tag_format` if it is given."""
        return tag_of(self.declaration)

    def image_name(self) -> str:
        """Return `registry/name:tag`."""
        return name_of(self.declaration)

    def with_packages(self, packages: str | Sequence[str]) -> Self:
        """Return the declaration with further Python packages."""
        return self._extended("packages", packages)

    def with_apt_packages(self, packages: str | Sequence[str]) -> Self:
        """Return the declaration with further Debian packages."""
        return self._extended("apt_packages", packages)

    def with_commands(self, commands: str | Sequence[str]) -> Self:
        """Return the declaration with further commands, after those that it has."""
        return self._extended("commands", commands)

    def with_copy(self, files: str | Sequence[str]) -> Self:
        """Return the declaration with further files to copy in."""
        return self._extended("copy", files)

    def with_runtime_packages(self, packages: str | Sequence[str]) -> Self:
        """Return the declaration with further `runtime_packages`."""
        return self._extended("runtime_packages", packages)

    def _extended(self, name: str, more: str | Sequence[str]) -> Self:
        given = [more] if isinstance(more, str) else list(more)
        changes: dict[str, Any] = {name: [*(getattr(self, name) or ()), *given]}
        made = dataclasses.replace(self, **changes)
        object.__setattr__(made, "_folder", getattr(self, "_folder"))  # noqa: B009 - as above
        return made


def tag_of(declaration: Mapping[str, Any]) -> str:
    """Return the tag of a declared image."""
    content = {n: _counted(n, v) for n, v in declaration.items() if n not in _NOT_CONTENT}
    digest = sha256_hex(canonical_json([RECIPE, content]))[:TAG_CHARACTERS]
    return str(declaration.get("tag_format") or "{spec_hash}").format(spec_hash=digest)


def _counted(name: str, value: Any) -> Any:
    """Return what of a field is in the tag: of files their content, and where they are copied to if the author says it."""
    if name == "copy":
        return [[each["file"], each["sha256"]] for each in value]
    # Declarations that were stored by older releases have the folder's name alone.
    return value["sha256"] if name in _FILES and isinstance(value, Mapping) else value


def name_of(declaration: Mapping[str, Any]) -> str:
    """Return `registry/name:tag` of a declared image."""
    name = f"{declaration['name']}:{tag_of(declaration)}"
    registry = declaration.get("registry")
    return f"{registry.rstrip('/')}/{name}" if registry else name


def _fits(value: Any, annotation: str) -> bool:
    if "Mapping" in annotation:
        return isinstance(value, Mapping) and all(isinstance(x, str) for pair in value.items() for x in pair)
    if "tuple[str, str]" in annotation:
        return not isinstance(value, str) and all(len(tuple(pair)) == 2 for pair in value)
    if "Sequence" in annotation:
        return isinstance(value, list | tuple) and all(isinstance(x, str) for x in value)
    return isinstance(value, str) or ("ImageSpec" in annotation and isinstance(value, ImageSpec))


def _caller_folder() -> Path:
    frame = sys._getframe(1)  # noqa: SLF001 - as in callsite
    while frame.f_back is not None and is_ours(frame.f_code):
        frame = frame.f_back
    return Path(frame.f_code.co_filename).resolve().parent
