"""Secrets of tasks: references to Kubernetes secrets, as variables or files where `sdk.secrets` looks for them. Pure.

`Secret(group="db", key="password")` is the key `password` of the Kubernetes secret `db` in the pod's namespace. Only
names are written: values go from Kubernetes to the container, past all of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flyte_temporal.adapters.launchers.kubernetes.refusals import PodRefused
from flyte_temporal.errors import InvalidIdentifier
from flyte_temporal.sdk.secrets import DEFAULT_FOLDER, DEFAULT_PREFIX, FOLDER_VARIABLE
from flyte_temporal.spec.identifiers import container_folder
from flyte_temporal.spec.policies import SecretRequest

Json = dict[str, Any]


@dataclass
class SecretParts:
    """What a pod needs for its secrets."""

    env: list[Json] = field(default_factory=list)
    volumes: list[Json] = field(default_factory=list)
    mounts: list[Json] = field(default_factory=list)


def secret_parts(requests: Iterable[SecretRequest], folder: str = "") -> SecretParts:
    """Return variables, volumes and mounts for what a task requests.

    Args:
        requests: What it requests.
        folder: Where it looks for files; empty = the usual place.

    Raises:
        PodRefused: If a request names no group or, for a variable, no key; or nothing can be mounted in the folder.
    """
    parts = SecretParts()
    try:
        container_folder(folder)
    except InvalidIdentifier as error:
        raise PodRefused(f"{FOLDER_VARIABLE} in its environment: {error.message}") from None
    for number, request in enumerate(requests):
        if not request.group:
            raise PodRefused(
                f"The secret {request.key!r} has no group; on Kubernetes that is the name of the secret object. Write "
                f'Secret(group="...", key="{request.key}").'
            )
        # A group's version is a part of where it is looked for, and so of the object's name.
        secret = "-".join(part for part in (request.group, request.version) if part).lower().replace("_", "-")
        if request.mount == "file" or not request.key:
            _file(parts, request, secret, (folder or DEFAULT_FOLDER, f"flyte-temporal-secret-{number}"))
            continue
        name = DEFAULT_PREFIX + "_".join(
            part.upper() for part in (request.group, request.version, request.key) if part
        )
        reference = {"name": secret, "key": request.key}
        for variable in filter(None, (name, request.env_var)):
            parts.env.append({"name": variable, "valueFrom": {"secretKeyRef": reference}})
    return parts


def _file(parts: SecretParts, request: SecretRequest, secret: str, where: tuple[str, str]) -> None:
    outer, volume = where
    folder = "/".join((outer.rstrip("/"), *(p.lower() for p in (request.group, request.version) if p)))
    source: Json = {"secretName": secret, "defaultMode": 0o440}
    mount: Json = {"name": volume, "mountPath": folder, "readOnly": True}
    if request.key:
        source["items"] = [{"key": request.key, "path": request.key.lower()}]
        mount |= {"mountPath": f"{folder}/{request.key.lower()}", "subPath": request.key.lower()}
    if request.env_var and request.key:
        parts.env.append({"name": request.env_var, "value": mount["mountPath"]})
    if any(each["mountPath"] == mount["mountPath"] for each in parts.mounts):
        return  # asked for twice; Kubernetes refuses to mount two things in one place
    parts.volumes.append({"name": volume, "secret": source})
    parts.mounts.append(mount)
