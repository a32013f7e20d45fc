"""What the result of a node rests on. Where it is equal, an earlier result stands for a later one. Pure.

Attempts write it into their manifests, gates into their records; `recover` compares.
"""

from __future__ import annotations

from collections.abc import Mapping

from flyte_temporal.spec.cache import interface_digest
from flyte_temporal.spec.contents import content, holds_reference
from flyte_temporal.spec.document import Document, canonical_json, sha256_hex
from flyte_temporal.spec.entities import TaskSpec
from flyte_temporal.spec.interface import Interface, Variable
from flyte_temporal.spec.literals import LiteralValue
from flyte_temporal.spec.nodes import GateTarget
from flyte_temporal.spec.types import ANY, LiteralType

_SHORT = 32
"""Hexadecimal digits kept of a digest: 128 bits tell apart whatever one execution has, and keep records small."""

_CODE_OF, _HAS_CHANGED = "the code of ", " has changed"


class Basis(Document):
    """What the result of a node rests on.

    Args:
        what: The task's name; for a gate its kind and name.
        interface: Digest of the types of what it takes and gives.
        code: The cache version that the user declared, or else the identity of the task's code; empty for gates.
        inputs: Digest of each input.
    """

    what: str
    interface: str = ""
    code: str = ""
    inputs: dict[str, str] = {}


def basis_of_task(task: TaskSpec, inputs: Mapping[str, LiteralValue]) -> Basis:
    """Return what the result of a task rests on.

    Args:
        task: The task; what its node sets anew is applied.
        inputs: Its inputs.
    """
    return Basis(
        what=task.name,
        interface=_interface(task.interface),
        code=identity(task),
        inputs=digests(task.interface, inputs),
    )


def basis_of_gate(gate: GateTarget, inputs: Mapping[str, LiteralValue]) -> Basis:
    """Return what the answer of a gate rests on."""
    given = (Variable(name="value", type=ANY if gate.type is None else gate.type),)
    interface = Interface(inputs=given)
    return Basis(
        what=f"{gate.gate} {gate.name}".rstrip(),
        interface=_interface(interface),
        inputs=digests(interface, inputs),
    )


def difference(old: Basis, new: Basis, *, trust_code: bool = False) -> str:
    """Return in words why a result of before cannot stand for a new one; empty if it can.

    Args:
        old: What the earlier result rests on.
        new: What a new one would rest on.
        trust_code: Whether changed code is to be taken as equal.
    """
    if old.what != new.what:
        return f"it was {old.what} before and is {new.what} now"
    if old.interface != new.interface:
        return f"the types of what {new.what} takes or gives have changed"
    if not trust_code and (old.code != new.code):
        return f"{_CODE_OF}{new.what}{_HAS_CHANGED}"
    return changed_inputs(old.inputs, new.inputs)


def tells_of_code(reason: str) -> bool:
    """Return whether the words of `difference` are that the code has changed."""
    return reason.startswith(_CODE_OF) and reason.endswith(_HAS_CHANGED)


def changed_inputs(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return in words which inputs have other digests than before; empty if none has."""
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    return f"the value of {', '.join(names)} has changed" if names else ""


def digests(interface: Interface, inputs: Mapping[str, LiteralValue]) -> dict[str, str]:
    """Return a digest of each input, by content."""
    types = {v.name: v.type for v in interface.inputs}
    return {name: _content(literal, types.get(name, ANY)) for name, literal in inputs.items()}


def identity(task: TaskSpec) -> str:
    """Return what stands for a task's code: the cache version that its user declared, or else the code and where it runs.

    Args:
        task: The task; what its node sets anew is applied.
    """
    policy = task.policy
    if policy.cache.version:
        return f"{policy.cache.version}-{policy.cache.salt}" if policy.cache.salt else policy.cache.version
    environment = [policy.image, policy.image_spec, policy.env, policy.pod_template]
    parts = [task.container, policy.pod]
    written = [None if part is None else part.model_dump(mode="json") for part in parts]
    return _short([task.code, task.type, task.config, environment, *written])


def _interface(interface: Interface) -> str:
    return interface_digest(interface)[:_SHORT]


def _content(literal: LiteralValue, type_: LiteralType) -> str:
    return _short(content(literal, type_, references=holds_reference(type_)))


def _short(value: object) -> str:
    return sha256_hex(canonical_json(value))[:_SHORT]
