"""`reference_task`, `reference_workflow`, `reference_launch_plan`: entities that somebody else registered.

Used by authors to build on what another team owns: the function says the interface, its body is never run. The compiler
keeps the reference; the control plane resolves it when the closure is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, ParamSpec, TypeVar

from flyte_temporal.errors import CompileError, InvalidIdentifier, UserCodeError
from flyte_temporal.sdk import docstrings
from flyte_temporal.sdk.calling import Called
from flyte_temporal.sdk.callsite import call_site
from flyte_temporal.sdk.entity import FunctionEntity
from flyte_temporal.sdk.tasks import refuse_undecorable
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.spec.entities import Reference
from flyte_temporal.spec.identifiers import entity_name, project_name, version_name
from flyte_temporal.spec.nodes import LaunchPlanTarget, Target, TaskTarget, WorkflowTarget

P = ParamSpec("P")
R = TypeVar("R")

Kind = Literal["task", "workflow", "launch_plan"]


class NotMocked(UserCodeError):
    """A reference was reached in a plain run: its code is not here."""

    code = "NotMocked"
    retryable = False


class ReferenceEntity(Called[P, R], FunctionEntity):
    """An entity registered elsewhere, with the interface that a function of the user's declares.

    Args:
        function: Says the interface; its body is never run.
        kind: What it is.
        place: Project, domain, name and version.
        where: File and line of the decorator, for messages.
    """

    def __init__(
        self, function: Callable[P, R], kind: Kind, place: tuple[str, str, str, str], where: str
    ) -> None:
        super().__init__(function)
        self.kind: Kind = kind  # type: ignore[misc] # of each object, as the decorator says
        self.project, self.domain, self._name, self.version = place
        self.defined_at = where

    def __repr__(self) -> str:
        return f"<reference to the {self.kind} {self.project}/{self.domain}/{self._name}/{self.version}>"

    @property
    def name(self) -> str:
        """Return the name under which it is registered."""
        return self._name

    @property
    def short_name(self) -> str:
        """Return the last part of the name."""
        return self._name.rpartition(".")[2]

    @property
    def description(self) -> str:
        """Return what the docstring says."""
        return docstrings.parse(self.function.__doc__).text

    @property
    def reference(self) -> Reference:
        """Return what the closure keeps."""
        return Reference(
            kind=self.kind,
            project=self.project,
            domain=self.domain,
            name=self._name,
            version=self.version,
            interface=self.interface,
        )

    @property
    def target(self) -> Target:
        """Return how a node refers to it."""
        match self.kind:
            case "task":
                return TaskTarget(task=self._name)
            case "workflow":
                return WorkflowTarget(workflow=self._name)
            case "launch_plan":
                return LaunchPlanTarget(launch_plan=self._name)

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> NoReturn:  # noqa: ARG002 - none can run it
        """Refuse: its code is not in this program.

        Raises:
            NotMocked: Always.
        """
        raise NotMocked(
            f"{self.short_name} is a reference to the {self.kind.replace('_', ' ')} {self._name} of "
            f"{self.project}/{self.domain}, version {self.version}, whose code is not here. A plain run needs a mock: "
            f"`with task_mock({self.__name__}) as mock:` of flyte_temporal.testing."
        )


class _Referring:
    """A decorator that keeps the signature of what it decorates."""

    def __init__(self, kind: Kind, place: tuple[str, str, str, str], where: str) -> None:
        self._kind = kind
        self._place = place
        self._where = where

    def __call__(self, function: Callable[P, R]) -> ReferenceEntity[P, R]:
        refuse_undecorable(function, f"reference_{self._kind}", self._where)
        return ReferenceEntity(function, self._kind, self._place, self._where)


def reference_task(project: str, domain: str, name: str, version: str) -> _Referring:
    """Refer to a task that is registered elsewhere; the decorated function says its interface.

    Args:
        project: Whose it is.
        domain: Its stage.
        name: Its dotted name.
        version: Its version.

    Raises:
        CompileError: If one of them has forbidden characters.
    """
    return _referring("task", (project, domain, name, version))


def reference_workflow(project: str, domain: str, name: str, version: str) -> _Referring:
    """Refer to a workflow that is registered elsewhere; arguments and errors as for `reference_task`."""
    return _referring("workflow", (project, domain, name, version))


def reference_launch_plan(project: str, domain: str, name: str, version: str) -> _Referring:
    """Refer to a launch plan that is registered elsewhere; arguments and errors as for `reference_task`."""
    return _referring("launch_plan", (project, domain, name, version))


def _referring(kind: Kind, place: tuple[str, str, str, str]) -> _Referring:
    where = call_site()
    checks = (project_name, project_name, entity_name, version_name)
    for part, check in zip(place, checks, strict=True):
        if not isinstance(part, str):
            raise CompileError(
                f"@reference_{kind}: {shown(part)} must be a text. Give project, domain, name and version.",
                where,
            )
        try:
            check(part)
        except InvalidIdentifier as error:
            raise CompileError(f"@reference_{kind}: {error.message}", where) from error
    return _Referring(kind, place, where)
