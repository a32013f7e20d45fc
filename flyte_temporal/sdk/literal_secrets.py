"""Secrets that are written into declarations (`environment=`): refused where they certainly are some, else warned of.

What is declared is stored with the task, with each execution and in its history, for years and for many readers. Apart from
`secrets`, which is about those that are asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from flyte_temporal.errors import CompileError
from flyte_temporal.spec import credentials
from flyte_temporal.spec.policies import Overrides, PodTemplate, TaskPolicy


class SecretWarning(UserWarning):
    """A variable sounds as if it held a secret, and its value would be stored with the task."""


def refuse_credentials(variables: Iterable[tuple[str, str]], option: str, where: str) -> None:
    """Refuse values that certainly are credentials; the message does not repeat them.

    Args:
        variables: Environment variables and their values.
        option: Where they stand, such as `environment`.
        where: File and line, for the message.

    Raises:
        CompileError: If one is.
    """
    for name, value in variables:
        if what := credentials.form_of(value):
            raise CompileError(
                f"{option}: the value of {name} is {what}, and would be stored with the task and in the history of each "
                f"execution. Use {_advice(name)}",
                where,
            )


def warn_of_secrets(variables: Iterable[tuple[str, str]], whose: str, where: str) -> None:
    """Warn of variables whose names sound like those of secrets.

    Args:
        variables: Environment variables and their values.
        whose: Who has them, for people.
        where: File and line of the declaration.
    """
    for name, value in variables:
        if credentials.may_be_secret(name, value):
            message = (
                f"{name} in the environment of {whose} sounds like a secret, and its value is stored with the task and in "
                f"the history of each execution. If it is one, use {_advice(name)}"
            )
            # As if it were a file without lines: Python prints the line of a warning, and here the secret is in it.
            warnings.warn_explicit(message, SecretWarning, where or whose, 0)


def declared_in(policy: TaskPolicy | Overrides) -> Iterator[tuple[str, str]]:
    """Yield all environment variables with values of a task, or of what a node sets anew."""
    yield from (policy.env or {}).items()
    yield from in_pod(policy.pod)
    of_image = (policy.image_spec or {}).get("env")
    yield from cast("dict[str, str]", of_image or {}).items()


def in_pod(template: PodTemplate | None) -> Iterator[tuple[str, str]]:
    """Yield the variables with literal values of all containers of a template."""
    pod_spec: Mapping[str, Any] = {} if template is None else template.pod_spec
    for kind in ("initContainers", "containers"):
        containers = pod_spec.get(kind)
        for container in containers if isinstance(containers, list) else ():
            listed = container.get("env") if isinstance(container, Mapping) else None
            for one in listed if isinstance(listed, list) else ():
                if isinstance(one, Mapping) and isinstance(one.get("value"), str):
                    yield str(one.get("name")), one["value"]


def _advice(name: str) -> str:
    return f'secret_requests=[Secret(group="...", key="...", env_var="{name}")]: docs/secrets.md.'
