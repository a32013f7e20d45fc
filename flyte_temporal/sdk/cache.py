"""`Cache`: how a task's outputs are remembered, and how its version is made when the author gives none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from flyte_temporal.errors import CompileError
from flyte_temporal.sdk.code_digest import code_digest
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.document import canonical_bytes, canonical_json, sha256_hex
from flyte_temporal.spec.entities import ContainerSpec
from flyte_temporal.spec.interface import Interface
from flyte_temporal.spec.policies import COMPUTED_VERSION, CacheSettings, TaskPolicy

AUTO = "auto"
"""The version that stands for a digest of the task's code and declared environment."""


@dataclass(frozen=True)
class VersionParameters:
    """What a `CachePolicy` may look at.

    Args:
        func: The task's function.
        container_image: Its image, empty if it declares none.
        pod_template: Its own pod template as JSON, if it has one.
        pod_template_name: Name of the template that it takes from the cluster.
    """

    func: Callable[..., Any]
    container_image: str = ""
    pod_template: Any = None
    pod_template_name: str = ""


@runtime_checkable
class CachePolicy(Protocol):
    """One part of a computed cache version; several policies are put together."""

    def get_version(self, salt: str, params: VersionParameters) -> str:
        """Return a text that changes whenever the task's results may change.

        Args:
            salt: The salt of the `Cache`.
            params: The task.
        """


@dataclass(frozen=True)
class Cache:
    """How a task's outputs are remembered.

    Args:
        version: The author's version of what the task does; a part of the key. Raise it when results change. Without
            one, or as `"auto"`, it is a digest of the function, of the code of the same source root that it uses, and
            of the declared environment (docs/cache.md says what that leaves out).
        serialize: Whether equal calls at the same time wait for one of them.
        ignored_inputs: Inputs left out of the key.
        salt: Further part of the key.
        policies: What makes the version instead, if none is given.
    """

    version: str | None = None
    serialize: bool = False
    ignored_inputs: tuple[str, ...] | str = ()
    salt: str = ""
    policies: Sequence[CachePolicy] | CachePolicy | None = None

    def get_ignored_inputs(self) -> tuple[str, ...]:
        """Return the inputs that are left out, as a tuple."""
        given = self.ignored_inputs
        return (given,) if isinstance(given, str) else tuple(given)

    def get_version(self, params: VersionParameters) -> str:
        """Return the version: the one given, or what the policies make together.

        Raises:
            CompileError: If a policy gives no text.
        """
        if self.version and self.version != AUTO:
            return self.version
        parts = [_part(policy, self.salt, params) for policy in self._policies()]
        return sha256_hex("".join(parts).encode()) if parts else AUTO

    def _policies(self) -> Sequence[CachePolicy]:
        given = self.policies
        if given is None:
            return ()
        return (given,) if isinstance(given, CachePolicy) else given


def _part(policy: CachePolicy, salt: str, params: VersionParameters) -> str:
    found: object = policy.get_version(salt, params)
    if not isinstance(found, str):
        name = type(policy).__name__
        raise CompileError(f"{name}.get_version() must return a text, not {shown(found)}.")
    return found


@runtime_checkable
class Versioned(Protocol):
    """A task, as far as its version goes."""

    function: Callable[..., Any]
    container: ContainerSpec | None
    config: Any
    cache_policies: Cache | None
    policy: TaskPolicy


def settled(
    settings: CacheSettings, task: Versioned, policy: TaskPolicy, given: Cache | None
) -> CacheSettings:
    """Return cache settings with their version computed, if the author gave none.

    Args:
        settings: What the author said, of the task or of a node.
        task: The task.
        policy: Its whole policy, as it runs: the declared environment is in it.
        given: The `Cache` that the settings come from, if they do.
    """
    if not settings.enabled or settings.version != AUTO:
        return settings
    version = AUTO
    if given is not None:
        pod = None if policy.pod is None else policy.pod.model_dump(mode="json")
        version = given.get_version(VersionParameters(task.function, policy.image, pod, policy.pod_template))
    if version == AUTO:
        version = f"{COMPUTED_VERSION}{sha256_hex(canonical_json(_parts(task, policy)))[:32]}"
    return settings.model_copy(update={"version": version})


def refuse_unknown_inputs(settings: CacheSettings, interface: Interface, where: str) -> None:
    """Refuse ignored inputs that the task does not have.

    Raises:
        CompileError: If there is one.
    """
    known = [v.name for v in interface.inputs]
    for name in settings.ignored_inputs:
        if name not in known:
            has = ", ".join(known) or "no inputs"
            raise CompileError(
                f"The cache is to ignore the input {name!r}, which the task does not have. It has: {has}.",
                where,
            )


def _parts(task: Versioned, policy: TaskPolicy) -> list[Any]:
    container = None if task.container is None else canonical_bytes(task.container).decode()
    environment = [policy.image, policy.image_spec, policy.env, policy.pod_template]
    pod = None if policy.pod is None else canonical_bytes(policy.pod).decode()
    return [code_digest(task.function), dict(task.config), container, environment, pod]
