"""What stands beside a container without our runtime: one of ours before it writes its inputs, one stores its outputs.

The first is an init container, the second a native sidecar, which Kubernetes ends after the task's container: then it stores
the files that are there and stages a manifest. Whether that counts is for the launcher to say, who knows the exit code
(`runtime.io`). Pure, but for `commit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyte_temporal.adapters.launchers.kubernetes.looks import OURS, Look
from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.adapters.launchers.moving import move
from flyte_temporal.errors import InputTooLarge, LauncherError
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import NO_STORE, AttemptOrder
from flyte_temporal.spec.commands import rendered
from flyte_temporal.spec.entities import ContainerSpec

Json = dict[str, Any]

_INPUTS = f"{OURS}inputs"
_OUTPUTS = f"{OURS}outputs"
AFTER = f"{OURS}after"
"""Name of the container that stores the outputs."""
_READY = "/tmp/flyte-temporal-ready"  # noqa: S108 - of the container
UPLOAD_S = 300
"""How long the outputs of a container may take to be stored after its end, before Kubernetes kills who stores them."""
_SMALL = {"requests": {"cpu": "50m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}}


def around(
    order: AttemptOrder, primary: Json, image: str, platforms: Sequence[Json]
) -> tuple[Json, list[Json]]:
    """Return the task's container as it is without our runtime, and ours before and beside it.

    Args:
        order: What it runs.
        primary: Its container, but for the command.
        image: Image of ours.
        platforms: Environment of ours, by which the blob store is reached; the task's container gets none of it.

    Raises:
        PodRefused: If an input has no place in its command.
    """
    container = order.task.container
    assert container is not None, "asked for a container only"  # noqa: S101 - a mistake of ours
    try:
        command, arguments = rendered(order.task, order.inputs)
    except InputTooLarge as error:
        raise PodRefused(error.message, error.code) from error
    ours: Json = {
        "image": image,
        "env": list(platforms),
        "volumeMounts": _mounts(container, ours=True),
        "resources": _SMALL,
    }
    ours |= {"securityContext": {"readOnlyRootFilesystem": True}}
    if "imagePullPolicy" in primary:
        ours["imagePullPolicy"] = primary["imagePullPolicy"]
    python, key = primary["command"][0], keys.order(order.attempt)
    program = [python, "-P", "-m", "flyte_temporal.runtime.io"]
    before = {
        **ours,
        "name": f"{OURS}before",
        "command": [*program, "download", key, "--to", "/inputs", "--claim"],
    }
    upload = [*program, "upload", key, "--from", "/outputs", "--stage", "--on-sigterm", "--ready", _READY]
    after: Json = {**ours, "name": AFTER, "command": upload, "restartPolicy": "Always"}
    # The task's container must not end before this one hears of it: it begins once this one has started up, by this probe.
    there = f"import os, sys; sys.exit(not os.path.exists({_READY!r}))"
    probe = {"exec": {"command": [python, "-I", "-S", "-c", there]}}
    after["startupProbe"] = {**probe, "periodSeconds": 1, "timeoutSeconds": 10, "failureThreshold": 300}
    own = {k: v for k, v in primary.items() if k != "command"}
    if command:
        own["command"] = [_plain(word) for word in command]
    if arguments:
        own["args"] = [_plain(word) for word in arguments]
    own["volumeMounts"] = [*primary["volumeMounts"], *_mounts(container, ours=False)]
    return {k: v for k, v in own.items() if v != []}, [before, after]


def volumes() -> list[Json]:
    """Return the volumes by which files of inputs and outputs go between them."""
    return [{"name": name, "emptyDir": {}} for name in (_INPUTS, _OUTPUTS)]


async def commit(order: AttemptOrder, found: Look, log_chunks: int = 0) -> str:
    """Make what the sidecar staged count, if the command has not failed; return why not, if not.

    A command that was made to end, or whose end nobody saw, has not done what it was to do, whatever it left by then.

    Args:
        order: What ran.
        found: How its container ended.
        log_chunks: Number of chunks of its log.

    Raises:
        LauncherError: If it is to be tried again: what the sidecar stored stays.
    """
    if found.exit_code is None or found.taken:
        return ""
    words = ["commit", keys.order(order.attempt), "--exit-code", str(found.exit_code)]
    words += ["--log-chunks", str(log_chunks)]
    code, said = await move(order, *words)
    if code == NO_STORE or (code and not said):
        raise LauncherError(
            f"The result of {order.attempt.label} could not be committed yet. {said}".rstrip()
        )
    return said if code else ""


def _mounts(container: ContainerSpec, *, ours: bool) -> list[Json]:
    if ours:
        mounts: list[Json] = [
            {"name": _INPUTS, "mountPath": "/inputs"},
            {"name": _OUTPUTS, "mountPath": "/outputs"},
        ]
        return [*mounts, {"name": f"{OURS}tmp", "mountPath": "/tmp"}]  # noqa: S108 - of the container
    mounts = []
    if container.input_dir:
        mounts.append({"name": _INPUTS, "mountPath": container.input_dir, "readOnly": True})
    if container.output_dir:
        mounts.append({"name": _OUTPUTS, "mountPath": container.output_dir})
    return mounts


def _plain(word: str) -> str:
    """Return a word as Kubernetes is to be told it: it replaces $(NAME) and $$, which nothing of a user's means."""
    return word.replace("$", "$$")
