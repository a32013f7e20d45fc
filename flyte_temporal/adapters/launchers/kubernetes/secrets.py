"""Secrets of tasks: references to Kubernetes secrets, as variables or files where `sdk.secrets` looks for them. Pure.

`Secret(group="db", key="password")` is the key `password` of the Kubernetes secret `db` in the pod's namespace. Only
names are written: values go from Kubernetes to the container, past all of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.sdk.secrets import DEFAULT_FOLDER, DEFAULT_PREFIX
from flyte_temporal.spec.policies import SecretRequest

Json = dict[str, Any]


@dataclass
class SecretParts:
    """What a pod needs for its secrets."""

    env: list[Json] = field(default_factory=list)
    volumes: list[Json] = field(default_factory=list)
    mounts: list[Json] = field(default_factory=list)


def secret_parts(requests: Iterable[SecretRequest]) -> SecretParts:
    """Return variables, volumes and mounts for what a task requests.

    Raises:
        PodRefused: If a request names no group or, for a variable, no key.
    """
    parts = SecretParts()
    for number, request in enumerate(requests):
        if not request.group:
            raise PodRefused(
                f"The secret {request.key!r} has no group; on Kubernetes that is the name of the secret object. Write "
                f'Secret(group="...", key="{request.key}").'
            )
        # A group's version is a part of where it is looked for, and so of the object's name.
        secret = "-".join(part for part in (request.group, request.version) if part).lower().replace("_", "-")
        if request.mount == "file" or not request.key:
            _file(parts, request, secret, f"flyte-temporal-secret-{number}")
            continue
        name = DEFAULT_PREFIX + "_".join(
            part.upper() for part in (request.group, request.version, request.key) if part
        )
        reference = {"name": secret, "key": request.key}
        for variable in filter(None, (name, request.env_var)):
            parts.env.append({"name": variable, "valueFrom": {"secretKeyRef": reference}})
    return parts


def _file(parts: SecretParts, request: SecretRequest, secret: str, volume: str) -> None:
    folder = "/".join(part.lower() for part in (DEFAULT_FOLDER, request.group, request.version) if part)
    source: Json = {"secretName": secret, "defaultMode": 0o440}
    mount: Json = {"name": volume, "mountPath": folder, "readOnly": True}
    if request.key:
        source["items"] = [{"key": request.key, "path": request.key.lower()}]
        mount |= {"mountPath": f"{folder}/{request.key.lower()}", "subPath": request.key.lower()}
    parts.volumes.append({"name": volume, "secret": source})
    parts.mounts.append(mount)
