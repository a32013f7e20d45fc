"""The one place where names are checked: projects, domains, entities, executions, nodes, attempts, images, secrets.

Limits come from where the names end up: Temporal on SQL stores keeps ids in VARCHAR(255), blob keys and file names
allow 255 bytes a part, Kubernetes labels 63 characters. The alphabet is ASCII, because ids become paths and URLs.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from flyte_temporal.errors import InvalidIdentifier
from flyte_temporal.spec.document import Document

MAX_BYTES = 255
"""Largest composed identifier, in bytes (VARCHAR(255) of Temporal's SQL schemas)."""

IMAGE_TEMPLATE = re.compile(r"\{\{\s*\.?images?\.([\w-]+)(?:\.(fqn|version|tag))?\s*\}\}")
"""Where the name of an image has a part of another image's, as flytekit writes it (`spec.images`)."""

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_ENTITY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*")
_EXECUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_NODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_NODE_PATH = re.compile(rf"{_NODE.pattern}(?:\[[0-9]+\])?(?:\.{_NODE.pattern}(?:\[[0-9]+\])?)*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(?:\.[A-Za-z0-9_+-]+)*")
_PART = r"[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*"
_IMAGE = re.compile(
    rf"{_PART}(?::[0-9]+(?=/))?(?:/{_PART})*(?::[A-Za-z0-9_][\w.-]{{0,127}})?(?:@[a-z0-9+._-]+:[0-9a-f]+)?",
    re.ASCII,
)
_FOLDER = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[\w.@+ -]+)+/?")
_SECRET = re.compile(r"(?!\.{1,2}$)[\w.@+ -]*")


def _checked(value: str, what: str, pattern: re.Pattern[str], allowed: str, limit: int = MAX_BYTES) -> str:
    if len(value.encode("utf-8", "surrogatepass")) > limit:
        raise InvalidIdentifier(
            f"The {what} {value[:40]!r}… is longer than {limit} bytes. Use a shorter one."
        )
    if not pattern.fullmatch(value):
        raise InvalidIdentifier(f"{value!r} is not a valid {what}. Allowed: {allowed}.")
    return value


def project_name(value: str) -> str:
    """Check a project or domain name.

    Raises:
        InvalidIdentifier: If it is empty, over 63 characters, or has other characters than a-z, 0-9, `_`, `-`.
    """
    return _checked(value, "project or domain name", _SLUG, "a-z, 0-9, '_' and '-', 1 to 63 of them", 63)


def entity_name(value: str) -> str:
    """Check the dotted name of a task, workflow or launch plan.

    Raises:
        InvalidIdentifier: If it has characters outside ASCII letters, digits, `_`, `-`, `.`, or is over 255 bytes.
    """
    return _checked(value, "entity name", _ENTITY, "ASCII letters, digits, '_' and '-', parts joined by '.'")


def version_name(value: str) -> str:
    """Check a version.

    Raises:
        InvalidIdentifier: If it has other characters than letters, digits and `_+-.`, or is over 255 bytes.
    """
    return _checked(value, "version", _VERSION, "ASCII letters, digits, '_', '+', '-' and '.'")


def execution_id(value: str) -> str:
    """Check the id of an execution; it is Temporal's workflow id and the caller's idempotency key.

    Raises:
        InvalidIdentifier: If it has characters outside letters, digits, `_`, `-`, `.`, or is over 128 bytes (so that
            ids of its children, which add a node path, still fit 255).
    """
    return _checked(value, "execution id", _EXECUTION, "ASCII letters, digits, '_', '-' and '.'", 128)


def node_id(value: str) -> str:
    """Check one node's own id.

    Raises:
        InvalidIdentifier: If it is not a letter followed by at most 62 letters, digits, `_` or `-`.
    """
    return _checked(value, "node id", _NODE, "a letter, then ASCII letters, digits, '_' and '-', 63 in all")


def node_path(value: str) -> str:
    """Check a node's place in an execution: ids from the outside in, joined by dots, `[i]` for an item of a map.

    Raises:
        InvalidIdentifier: If a part is not a node id, or the whole is over 200 bytes.
    """
    return _checked(
        value, "node path", _NODE_PATH, "node ids joined by '.', with '[0]' for items of a map", 200
    )


def image_name(value: str) -> str:
    """Check the name of an image, which becomes a word of a command line; `{{.image.NAME.fqn}}` may stand in it.

    Raises:
        InvalidIdentifier: If it is no reference of an image: spaces, a `-` in front, an address with a scheme and so on.
    """
    if value and (len(value) > 512 or not _IMAGE.fullmatch(IMAGE_TEMPLATE.sub("x", value))):
        raise InvalidIdentifier(
            f"{value[:512]!r} is not the name of an image. Write [REGISTRY[:PORT]/]NAME[:TAG][@DIGEST]."
        )
    return value


def container_folder(value: str) -> str:
    """Check a folder in a container, into which data is mounted; empty = none.

    Raises:
        InvalidIdentifier: If it is not absolute, or has a part `..` or other characters than those of usual names.
    """
    if value:
        allowed = (
            "an absolute path such as /var/outputs, of letters, digits, '_.@+-' and spaces, without '..'"
        )
        _checked(value, "folder in a container", _FOLDER, allowed, 1024)
    return value


def secret_part(value: str) -> str:
    """Check the group, key or version of a secret, which become a path; empty = there is none.

    Raises:
        InvalidIdentifier: If it is `.` or `..`, or has a `/` or another character than those of usual names.
    """
    allowed = "letters, digits, '_.@+-' and spaces, no '/', and not '..'"
    return _checked(value, "group, key or version of a secret", _SECRET, allowed)


ProjectName = Annotated[str, AfterValidator(project_name)]
EntityName = Annotated[str, AfterValidator(entity_name)]
VersionName = Annotated[str, AfterValidator(version_name)]
ExecutionName = Annotated[str, AfterValidator(execution_id)]
NodeName = Annotated[str, AfterValidator(node_id)]
NodePath = Annotated[str, AfterValidator(node_path)]
ImageName = Annotated[str, AfterValidator(image_name)]
ContainerFolder = Annotated[str, AfterValidator(container_folder)]
SecretPart = Annotated[str, AfterValidator(secret_part)]


class ExecutionId(Document):
    """An execution in its tenancy."""

    project: ProjectName
    domain: ProjectName
    name: ExecutionName


class AttemptId(Document):
    """One try of one node: at most one process or container ever has it.

    Args:
        execution: The execution.
        node: Path of the node.
        number: Our retry index, from 1.
        token: Random part. Results are only accepted below it, so a zombie of an earlier try changes nothing.
    """

    execution: ExecutionId
    node: NodePath
    number: int
    token: str

    @property
    def key(self) -> str:
        """Return the folder of this attempt in the blob store, without a slash at the end."""
        where = self.execution
        return f"attempts/{where.project}/{where.domain}/{where.name}/{self.node}/{self.number}-{self.token}"

    @property
    def label(self) -> str:
        """Return a short form for messages and log lines."""
        return f"{self.execution.name}/{self.node}#{self.number}"


class EntityId(Document):
    """A registered entity: what kind it is, and its immutable (project, domain, name, version)."""

    kind: str
    project: ProjectName
    domain: ProjectName
    name: EntityName
    version: VersionName

    def model_post_init(self, _context: object) -> None:
        """Check the length of the composed form."""
        composed = f"{self.project}/{self.domain}/{self.name}/{self.version}"
        if len(composed.encode()) > MAX_BYTES:
            raise InvalidIdentifier(
                f"{composed!r} is {len(composed.encode())} bytes long; at most {MAX_BYTES} are allowed. "
                "Shorten the version, or the name of the module or function."
            )
