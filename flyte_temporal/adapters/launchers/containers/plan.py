"""What is asked of an engine for one attempt: name, options, command; and what its refusals mean. Pure."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from flyte_temporal._version import __version__
from flyte_temporal.adapters.launchers.backstop import NEVER, Backstop
from flyte_temporal.adapters.launchers.containers import secrets
from flyte_temporal.adapters.launchers.containers.engine import ATTEMPT, OURS
from flyte_temporal.adapters.launchers.containers.places import Data
from flyte_temporal.config.settings import ContainerSettings
from flyte_temporal.errors import InvalidIdentifier
from flyte_temporal.sdk.secrets import PREFIXES
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState
from flyte_temporal.spec.commands import rendered
from flyte_temporal.spec.entities import ContainerSpec
from flyte_temporal.spec.identifiers import AttemptId, image_name
from flyte_temporal.spec.images import unfilled
from flyte_temporal.spec.quantities import amount
from flyte_temporal.spec.verdicts import mentions
from flyte_temporal.storage.orders import STORAGE

HOME = "flyte-temporal.home"
"""Label of a container: whose it is, as a digest of the scratch folder of its launcher."""
NETWORK = "flyte-temporal/network"
"""Annotation by which a task asks for a network."""
_TMP = "/tmp"  # noqa: S108 - of the container, which has it to itself
_TRANSIENT = (
    "429",
    "toomanyrequests",
    "pull qps exceeded",
    "i/o timeout",
    "503 service unavailable",
    "tls handshake timeout",
)
_NO_IMAGE = (
    "image not known",
    "no such image",
    "unable to find image",
    "manifest unknown",
    "pull access denied",
    "requested access to the resource is denied",
    "did not resolve to an alias",
    "unable to copy from source",
    "initializing source",
    "failed to resolve reference",
    "error pulling image",
    "no such host",
    "unauthorized",
)
_BAD_NAME = (
    "invalid reference format",
    "repository name must be lowercase",
    "parsing reference",
    "invalid image reference",
)
_NO_COMMAND = ("executable file not found", "command that was not found", "executable file `")
_NO_RIGHT = ("permission denied", "exec format error", "is a directory")


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Args:
        image: The image.
        arguments: What follows `create`.
        env: Values of variables that the arguments name without one.
        problem: Why it is not asked for at all; empty if nothing is in the way.
        refusal: The cluster's word for such a problem.
    """

    image: str
    arguments: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    refusal: str = "CreateContainerConfigError"


def container_name(attempt: AttemptId) -> str:
    """Return the name of an attempt's container: the same for every launcher, and for no other attempt."""
    unique = hashlib.sha256(attempt.key.encode()).hexdigest()[:16]
    return f"ft-{_slug(attempt.execution.name)[:32]}-{_slug(attempt.node)[-24:]}-{attempt.number}-{unique}".lower()


def home_of(scratch: Path) -> str:
    """Return by what the containers of a launcher's scratch folder are known."""
    return hashlib.sha256(str(scratch.absolute()).encode()).hexdigest()[:16]


def image_of(order: AttemptOrder, default: str) -> str:
    """Return the image that an attempt runs in: that of its task, else of its execution, else of the installation."""
    own = order.task.policy.image or (order.task.container.image if order.task.container else "")
    return own or order.environment.image or default


@dataclass(frozen=True)
class Surroundings:
    """What a plan depends on besides its order.

    Args:
        settings: Limits, network and so on.
        environ: The worker's environment.
        home: Whose the container is: a digest of the launcher's scratch folder.
        podman: Whether the engine is podman.
        backstop: When the engine itself ends a container. Docker cannot.
    """

    settings: ContainerSettings
    environ: Mapping[str, str]
    home: str = ""
    podman: bool = True
    backstop: Backstop = NEVER


def planned(order: AttemptOrder, key: str, data: Data, around: Surroundings) -> Plan:
    """Return what is asked for.

    Args:
        order: What is to run.
        key: Where in the blob store the order is.
        data: Folders for a container without our runtime.
        around: All else.

    Raises:
        InputTooLarge: If a value has no place in a command.
    """
    settings, environ = around.settings, around.environ
    image = image_of(order, settings.image)
    network = _network(order, settings)
    asked = order.task.policy.annotations.get(NETWORK, "")
    if asked and asked not in settings.networks:
        return Plan(image, problem=_network_refused(order, asked, settings))
    if left := unfilled(image):
        return Plan(
            image,
            problem=f"The task {order.task.name} uses the image {left[0]!r} by name, and no such image was given. Write "
            f"--image {left[0]}=URI.",
        )
    try:
        # Once more, now that templates are filled in: it becomes a word of a command line.
        image_name(image)
    except InvalidIdentifier as error:
        return Plan(image, problem=f"The task {order.task.name}: {error.message}", refusal="InvalidImageName")
    # Names of this machine alone: nobody is asked for them.
    pull = "never" if image.startswith("localhost/") else settings.pull
    words = ["--name", container_name(order.attempt), "--pull", pull]
    words += ["--label", f"{ATTEMPT}={order.attempt.key}", "--label", f"{HOME}={around.home}"]
    longest = around.backstop.after_s(order.task.policy.timeouts)
    words += ["--timeout", str(longest)] if longest and around.podman else []
    words += _limits(order, settings)
    words += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
    words += ["--read-only"] if settings.read_only else []
    words += ["--network", network] if network else []
    words += ["--userns", settings.userns] if settings.userns else []
    if around.podman and network == "none":
        words.append("--http-proxy=false")
    given = secrets.passed(order.task.policy.secrets, environ)
    if order.task.container is not None:
        given |= secrets.exported(order, given, environ)
    else:
        given |= {name: environ[name] for name in settings.environment if name in environ}
    words += [part for name in sorted(given) for part in ("--env", name)]
    for source, target in secrets.files(order, environ):
        words += _bind(source, target, "readonly")
    if order.task.container is not None:
        words += _of_the_users(order, order.task.container, image, around, data)
    else:
        words += _of_ours(order, key, image, around)
    return Plan(image, words, given)


def _of_ours(order: AttemptOrder, key: str, image: str, around: Surroundings) -> list[str]:
    settings = around.settings
    words = [
        "--label",
        f"{OURS}={__version__}",
        "--env",
        f"{STORAGE}={order.storage.model_dump_json()}",
        "--env",
        f"HOME={_TMP}",
        "--workdir",
        _TMP,
    ]
    folder = local_folder(order.storage.root)
    user = settings.user
    if folder is not None:
        words += _bind(folder, str(folder))
        if not user:
            # What it stores must belong to the worker's user, whoever the image's may be.
            user = f"{os.getuid()}:{os.getgid()}"
            if around.podman and os.getuid() != 0 and not settings.userns:
                words += ["--userns", "keep-id"]
    if user:
        words += ["--user", user]
    words += [*settings.options, "--entrypoint", "python", image]
    return [*words, "-P", "-m", "flyte_temporal.runtime", "--stored", key]


def _of_the_users(
    order: AttemptOrder, container: ContainerSpec, image: str, around: Surroundings, data: Data
) -> list[str]:
    words = []
    for name, value in {**order.environment.env, **order.task.policy.env}.items():
        words += ["--env", f"{name}={value}"] if name not in PREFIXES else []
    if container.input_dir:
        words += _bind(data.inputs, container.input_dir, "readonly")
    if container.output_dir:
        words += _bind(data.outputs, container.output_dir)
    command, arguments = rendered(order.task, order.inputs)
    words += around.settings.options
    if command:
        words += ["--entrypoint", command[0]]
    return [*words, image, *command[1:], *arguments]


def _limits(order: AttemptOrder, settings: ContainerSettings) -> list[str]:
    limits, requests = order.task.policy.resources.limits, order.task.policy.resources.requests
    words = ["--pids-limit", str(settings.pids)]
    memory = int(amount(limits.mem or settings.memory) or 0)
    if memory:
        # Without swap: a task that needs more than it may have is to fail, not to crawl.
        words += ["--memory", str(memory), "--memory-swap", str(memory)]
    cpus = amount(limits.cpu or settings.cpus)
    if cpus:
        words += ["--cpus", f"{min(cpus, os.cpu_count() or cpus):g}"]
    shared = int(amount(order.task.policy.resources.shared_memory) or 0)
    if shared:
        words += ["--shm-size", str(shared)]
    tmp = int(amount(limits.ephemeral_storage or requests.ephemeral_storage or settings.tmp) or 0)
    size = f",size={tmp}" if tmp else ""
    return [*words, "--tmpfs", f"{_TMP}:rw,exec,nosuid,nodev,mode=1777{size}"]


def _network(order: AttemptOrder, settings: ContainerSettings) -> str:
    asked = order.task.policy.annotations.get(NETWORK, "")
    if asked in settings.networks:
        return asked
    if order.task.container is not None:
        # Its data comes and goes by folders.
        return settings.network or "none"
    return settings.network or ("none" if local_folder(order.storage.root) is not None else "")


def _network_refused(order: AttemptOrder, asked: str, settings: ContainerSettings) -> str:
    allowed = ", ".join(settings.networks) or "none at all"
    return (
        f"The task {order.task.name} asks for the network {asked!r} ({NETWORK}), which this installation does not give to "
        f"tasks; it gives {allowed}. Its operator allows it by FLYTE_TEMPORAL_CONTAINERS__NETWORKS='[\"{asked}\"]'."
    )


def local_folder(root: str) -> Path | None:
    """Return the folder of a blob store in a local folder; None for any other."""
    scheme, _, rest = root.partition("://")
    return Path(unquote(rest)) if scheme == "file" else None


def _bind(source: Path, target: str, *more: str) -> list[str]:
    """Return the option that mounts a folder. Engines read its value as a line of CSV: a comma must not begin a new field."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(["type=bind", f"source={source}", f"target={target}", *more])
    return ["--mount", line.getvalue()]


def refused(image: str, words: str, program: str) -> AttemptState:
    """Return the state of an attempt whose container could not be made.

    Args:
        image: Its image.
        words: What the engine said.
        program: The engine's program.
    """
    if mentions(words, _TRANSIENT, image):
        return _over(f"The image {image} could not be fetched: {words}", "RegistryUnavailable")
    if mentions(words, _BAD_NAME, image):
        return _over(f"{image!r} is not the name of an image: {words}", "InvalidImageName")
    if mentions(words, _NO_IMAGE, image):
        return _over(
            f"There is no image {image} on the worker's machine, and it could not be fetched: {words}\nBuild it (`make "
            f"task-image` builds the default image; `{program} build -t {image} .` your own), or correct container_image=, "
            "--image or FLYTE_TEMPORAL_CONTAINERS__IMAGE.",
            "ErrImageNeverPull",
        )
    return _over(f"`{program} create` failed for the image {image}: {words}", "")


def not_started(order: AttemptOrder, image: str, words: str) -> AttemptState:
    """Return the state of an attempt whose container was made and could not be started.

    Args:
        order: What was to run.
        image: Its image.
        words: What the engine said.
    """
    said = words.lower()
    code = (
        127
        if any(each in said for each in _NO_COMMAND)
        else 126
        if any(e in said for e in _NO_RIGHT)
        else None
    )
    if code is None or "rlimit" in said:
        return _over(f"The container could not be started: {words}", "")
    command = "python"
    advice = "Images of Python tasks need `python` in their PATH, with flyte-temporal installed; see docs/images.md."
    if order.task.container is not None:
        called = rendered(order.task, order.inputs)
        command = " ".join((*called[0], *called[1]))[:200]
        advice = "Correct the task's command, or its image."
    return AttemptState(
        phase=AttemptPhase.EXITED,
        exit_code=code,
        message=f"The image {image} could not run `{command}`: {words}\n{advice}",
    )


def _over(message: str, refusal: str) -> AttemptState:
    return AttemptState(phase=AttemptPhase.EXITED, message=message, ran=False, refusal=refusal)


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-") or "x"
