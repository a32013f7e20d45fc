"""Names of images with templates in them: `{{.image.NAME.fqn}}:{{.image.NAME.version}}`, as flytekit writes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from flyte_temporal.spec.entities import Closure, TaskSpec
from flyte_temporal.spec.identifiers import IMAGE_TEMPLATE

DEFAULT = "default"
"""Name of the image of an execution that was given without a name."""


@dataclass(frozen=True)
class Declared:
    """An image that is declared.

    Args:
        image: Its name and tag.
        declaration: What it holds.
        by: Name of the task or workflow that declares it.
    """

    image: str
    declaration: dict[str, JsonValue]
    by: str


def filled(image: str, images: Mapping[str, str]) -> str:
    """Return an image's name with the templates filled in whose images are known.

    Args:
        image: The name.
        images: Images by name; `default` is that of the execution.
    """

    def value(found: re.Match[str]) -> str:
        uri = images.get(found[1])
        if uri is None:
            return found[0]
        name, version = split(uri)
        match found[2]:
            case "fqn":
                return name
            case "version" | "tag":
                return version
            case _:
                return uri

    text = IMAGE_TEMPLATE.sub(value, image)
    # A digest stands behind an @, and an image without a version has none behind a colon.
    return re.sub(r":(?=sha256:)", "@", text).removesuffix(":")


def split(uri: str) -> tuple[str, str]:
    """Return the name and the version of an image: its tag, or its digest as `sha256:…`."""
    name, at, digest = uri.partition("@")
    if at:
        return name, digest
    head, colon, tag = uri.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (uri, "")


def unfilled(image: str) -> list[str]:
    """Return the names of the templates that are left in an image's name."""
    return [found[1] for found in IMAGE_TEMPLATE.finditer(image)]


def with_images(task: TaskSpec, images: Mapping[str, str]) -> TaskSpec:
    """Return a task whose image's name has no templates but those of unknown images."""
    changed = filled(task.policy.image, images) if "{{" in task.policy.image else task.policy.image
    if changed == task.policy.image:
        return task
    return task.model_copy(update={"policy": task.policy.model_copy(update={"image": changed})})


def declarations(closure: Closure) -> list[Declared]:
    """Return the images that tasks of a closure, and overrides of its nodes, declare (`ImageSpec`), each once."""
    found: dict[str, Declared] = {}
    for task in closure.tasks.values():
        if task.policy.image_spec:
            found[task.policy.image] = Declared(task.policy.image, dict(task.policy.image_spec), task.name)
    for workflow in closure.workflows.values():
        for node in workflow.nodes:
            changed = node.overrides
            if changed is not None and changed.image and changed.image_spec:
                found[changed.image] = Declared(changed.image, dict(changed.image_spec), workflow.name)
    return list(found.values())


def with_own(closure: Closure) -> list[str]:
    """Return the names of Python tasks with an image of their own, and of workflows whose nodes give them one."""
    tasks = {t.name for t in closure.tasks.values() if t.policy.image and t.container is None}
    nodes = ((w.name, node.overrides) for w in closure.workflows.values() for node in w.nodes)
    return sorted(tasks | {name for name, changed in nodes if changed is not None and changed.image})


def wanted(closure: Closure) -> list[str]:
    """Return the names of images that the tasks of a closure, and overrides of its nodes, use."""
    return sorted(set(_wanted(closure)))


def _wanted(closure: Closure) -> Iterable[str]:
    for task in closure.tasks.values():
        yield from unfilled(task.policy.image)
    for workflow in closure.workflows.values():
        for node in workflow.nodes:
            if node.overrides is not None and node.overrides.image:
                yield from unfilled(node.overrides.image)
