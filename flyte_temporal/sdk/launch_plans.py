"""`LaunchPlan`: a named way to start a workflow, with inputs that it defaults or fixes, a schedule and notifications.

Used by authors. Called in a workflow it becomes a node that starts an execution of its own; called elsewhere it runs the
workflow as plain Python. Whoever acts on schedules and notifications reads them from the compiled `LaunchPlanSpec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload

from flyte_temporal.errors import CompileError, InvalidIdentifier
from flyte_temporal.sdk.calling import Called
from flyte_temporal.sdk.callsite import call_site, calling_module
from flyte_temporal.sdk.constants import constant_hash, constant_json
from flyte_temporal.sdk.entity import entities_behind
from flyte_temporal.sdk.notifications import Notification
from flyte_temporal.sdk.policies import refuse_unknown
from flyte_temporal.sdk.schedules import CronSchedule, FixedRate
from flyte_temporal.sdk.signature import Parameter, Signature
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import ValueContext
from flyte_temporal.sdk.types.times import DATETIME
from flyte_temporal.sdk.workflow_base import WorkflowBase
from flyte_temporal.sdk.workflows import PythonFunctionWorkflow
from flyte_temporal.spec.assignability import accepts
from flyte_temporal.spec.entities import LaunchPlanSpec
from flyte_temporal.spec.identifiers import entity_name
from flyte_temporal.spec.interface import Default, Interface
from flyte_temporal.spec.literals import Inline
from flyte_temporal.spec.types import describe

P = ParamSpec("P")
R = TypeVar("R")
# Of the workflow: pyright knows nothing about the class's own in its static methods.
Q = ParamSpec("Q")
S = TypeVar("S")


class LaunchPlanOptions(TypedDict, total=False):
    """Options of a launch plan.

    Args:
        default_inputs: Values of inputs that a caller may give otherwise.
        fixed_inputs: Values of inputs that no caller can give.
        schedule: When it starts by itself.
        notifications: Whom to tell how its executions ended.
        labels: Labels of its executions.
        annotations: Annotations of its executions.
        max_parallelism: Largest number of tasks of one execution that run at once; 0 = the platform's default.
        overwrite_cache: Whether its executions recompute what is remembered, and remember it anew.
        pause_on_failure: Whether nodes of its executions that would fail for good are held, for somebody to repair them.
    """

    default_inputs: Mapping[str, Any]
    fixed_inputs: Mapping[str, Any]
    schedule: CronSchedule | FixedRate
    notifications: list[Notification]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    max_parallelism: int
    overwrite_cache: bool
    pause_on_failure: bool


class LaunchPlan(Called[P, R]):
    """A named way to start a workflow; made by `LaunchPlan.create`, `get_or_create` or `get_default_launch_plan`.

    Its interface is the workflow's without the fixed inputs, and with its own defaults.

    Args:
        name: Name by which it is registered.
        workflow: What it starts.
        options: See `LaunchPlanOptions`.
        where: File and line of its definition, for messages.
        module: Name of the module that defines it.
    """

    kind: ClassVar[Literal["task", "workflow", "launch_plan"]] = "launch_plan"

    def __init__(
        self, name: str, workflow: WorkflowBase, options: Mapping[str, Any], where: str, module: str
    ) -> None:
        self._name = _checked_name(name, where)
        self.workflow = workflow
        self.where = where
        self.__module__ = module
        refuse_unknown(options, LaunchPlanOptions, f"The launch plan {name!r}", where)
        self._options = {n: v for n, v in options.items() if v is not None}
        self.default_inputs: Mapping[str, Any] = self._mapping("default_inputs")
        self.fixed_inputs = self._mapping("fixed_inputs")
        self.labels: Mapping[str, str] = self._texts("labels")
        self.annotations: Mapping[str, str] = self._texts("annotations")
        self.notifications = self._notifications()
        self.schedule: CronSchedule | FixedRate | None = self._schedule()
        self.max_parallelism: int = self._parallelism()
        self.overwrite_cache: bool = self._switch("overwrite_cache")
        self.pause_on_failure: bool = self._switch("pause_on_failure")
        self._check_names()

    @overload
    @staticmethod
    def create(
        name: str, workflow: PythonFunctionWorkflow[Q, S], **options: Unpack[LaunchPlanOptions]
    ) -> LaunchPlan[..., S]: ...
    @overload
    @staticmethod
    def create(
        name: str, workflow: WorkflowBase, **options: Unpack[LaunchPlanOptions]
    ) -> LaunchPlan[..., Any]: ...
    @staticmethod
    def create(
        name: str, workflow: WorkflowBase, **options: Unpack[LaunchPlanOptions]
    ) -> LaunchPlan[..., Any]:
        """Make a launch plan of a new name.

        Args:
            name: Name by which it is registered.
            workflow: What it starts.
            options: See `LaunchPlanOptions`.

        Raises:
            CompileError: If the workflow has a launch plan of that name already, or an option makes no sense.
        """
        where, found = call_site(), _workflow(workflow)
        if name in _known(found):
            raise CompileError(
                f"The workflow {found.short_name} has a launch plan {name!r} already. Choose another name, or write "
                "LaunchPlan.get_or_create.",
                where,
            )
        return _remember(LaunchPlan(name, found, options, where, calling_module()))

    @overload
    @staticmethod
    def get_or_create(
        workflow: PythonFunctionWorkflow[Q, S], name: str | None = None, **options: Unpack[LaunchPlanOptions]
    ) -> LaunchPlan[..., S]: ...
    @overload
    @staticmethod
    def get_or_create(
        workflow: WorkflowBase, name: str | None = None, **options: Unpack[LaunchPlanOptions]
    ) -> LaunchPlan[..., Any]: ...
    @staticmethod
    def get_or_create(
        workflow: WorkflowBase, name: str | None = None, **options: Unpack[LaunchPlanOptions]
    ) -> LaunchPlan[..., Any]:
        """Return the launch plan of that name; it is made if it is not there.

        Args:
            workflow: What it starts.
            name: Its name; without one, the workflow's default launch plan, which has no options of its own.
            options: See `LaunchPlanOptions`.

        Raises:
            CompileError: If there is one of that name with other options, options are given without a name, or an
                option makes no sense.
        """
        where, found = call_site(), _workflow(workflow)
        if name is None:
            if any(value for value in options.values()):
                raise CompileError(
                    "The default launch plan of a workflow has no options of its own. Add name=... to make another one.",
                    where,
                )
            return _default(found, where)
        made: LaunchPlan[..., Any] = LaunchPlan(name, found, options, where, calling_module())
        known = _known(found).get(name)
        if known is None:
            return _remember(made)
        if known._options != made._options:  # noqa: SLF001 - of its own class
            raise CompileError(
                f"The workflow {found.short_name} has a launch plan {name!r} with other options, made at {known.where}. "
                "Choose another name.",
                where,
            )
        return known

    @overload
    @staticmethod
    def get_default_launch_plan(  # type: ignore[overload-overlap] # a subclass keeps what the base cannot
        context: object, workflow: PythonFunctionWorkflow[Q, S]
    ) -> LaunchPlan[Q, S]: ...
    @overload
    @staticmethod
    def get_default_launch_plan(context: object, workflow: WorkflowBase) -> LaunchPlan[..., Any]: ...
    @staticmethod
    def get_default_launch_plan(context: object, workflow: WorkflowBase) -> LaunchPlan[..., Any]:  # noqa: ARG004 - flytekit's
        """Return the launch plan that every workflow has: of its name, with nothing defaulted or fixed.

        Args:
            context: Not used; flytekit's signature has it.
            workflow: The workflow.
        """
        return _default(_workflow(workflow), call_site())

    def __repr__(self) -> str:
        return f"<launch_plan {self._name}>"

    @property
    def name(self) -> str:
        """Return the name by which it is registered."""
        return self._name or self.workflow.name

    @property
    def short_name(self) -> str:
        """Return the last part of the name."""
        return self._name.rpartition(".")[2] if self._name else self.workflow.short_name

    @property
    def description(self) -> str:
        """Return what its workflow does."""
        return self.workflow.description

    @cached_property
    def signature(self) -> Signature:
        """Return the workflow's without the fixed inputs and with the defaults of this launch plan."""
        whole = self.workflow.signature
        parameters = {
            name: Parameter(name, p.annotation, self.default_inputs.get(name, p.default))
            for name, p in whole.parameters.items()
            if name not in self.fixed_inputs
        }
        return Signature(parameters, whole.outputs, whole.form, whole.named)

    @cached_property
    def interface(self) -> Interface:
        """Return the workflow's without the fixed inputs and with the defaults of this launch plan.

        Raises:
            CompileError: If a value does not fit its input, or the schedule lacks a value or a kickoff input.
        """
        whole = self.workflow.interface
        defaults = {
            n: Default(value=self._json(n, v, "default"), hash=self._hash(n, v))
            for n, v in self.default_inputs.items()
        }
        inputs = tuple(
            v.model_copy(update={"default": defaults[v.name]}) if v.name in defaults else v
            for v in whole.inputs
            if v.name not in self.fixed_inputs
        )
        found = Interface(inputs=inputs, outputs=whole.outputs)
        self._check_schedule(found)
        return found

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        return {name: self._json(name, value, "fixed") for name, value in self.fixed_inputs.items()}

    def evaluate(self, inputs: Mapping[str, Any], context: ValueContext) -> dict[str, Any]:
        """Run the workflow as plain Python with the fixed inputs; see `Entity.evaluate`."""
        return self.workflow.evaluate({**inputs, **self._fixed}, context)

    def spec(self, workflow: str) -> LaunchPlanSpec:
        """Return the document.

        Args:
            workflow: Name under which the closure holds the workflow.

        Raises:
            CompileError: As for `interface`.
        """
        return LaunchPlanSpec(
            name=self.name,
            workflow=workflow,
            interface=self.interface,
            fixed_inputs={
                name: Inline(value=value, hash=self._hash(name, self.fixed_inputs[name]))
                for name, value in self._fixed.items()
            },
            schedule=None if self.schedule is None else self.schedule.document(),
            notifications=tuple(n.document() for n in self.notifications),
            labels=dict(self.labels),
            annotations=dict(self.annotations),
            max_parallelism=self.max_parallelism,
            overwrite_cache=self.overwrite_cache,
            pause_on_failure=self.pause_on_failure,
            description=self.description,
        )

    def _json(self, name: str, value: Any, what: str) -> Any:
        annotation = self.workflow.signature.parameters[name].annotation
        variable = self.workflow.interface.input(name)
        if variable is None:
            raise self._wrong(f"the workflow {self.workflow.short_name} has no input {name!r}")
        try:
            return constant_json(value, annotation, variable.type)
        except CompileError as error:
            message = f"the {what} value of its input {name!r} cannot be used: {error.message}"
            raise type(error)(self._message(message), self.where) from error

    def _hash(self, name: str, value: Any) -> str | None:
        try:
            return constant_hash(value, self.workflow.signature.parameters[name].annotation)
        except CompileError as error:
            raise self._wrong(f"the value of its input {name!r} cannot be used: {error.message}") from error

    def _wrong(self, message: str) -> CompileError:
        return CompileError(self._message(message), self.where)

    def _message(self, message: str) -> str:
        return f"The launch plan {self._name or self.workflow.short_name}: {message}."

    def _mapping(self, option: str) -> Mapping[str, Any]:
        given = self._options.get(option, {})
        if not isinstance(given, Mapping):
            raise self._wrong(f"{option}={shown(given)} must be a dict of values by the names of inputs")
        return dict(given)

    def _switch(self, option: str) -> bool:
        given = self._options.get(option, False)
        if not isinstance(given, bool):
            raise self._wrong(f"{option}={shown(given)} must be True or False")
        return given

    def _texts(self, option: str) -> Mapping[str, str]:
        given = self._mapping(option)
        if not all(isinstance(x, str) for pair in given.items() for x in pair):
            raise self._wrong(f"{option}={shown(given)} must map texts to texts")
        return given

    def _notifications(self) -> tuple[Notification, ...]:
        given = self._options.get("notifications", ())
        if not isinstance(given, list | tuple) or not all(isinstance(n, Notification) for n in given):
            raise self._wrong(
                f"notifications={shown(given)} must be a list of Email(...), Slack(...) or PagerDuty(...)"
            )
        return tuple(given)

    def _schedule(self) -> CronSchedule | FixedRate | None:
        given = self._options.get("schedule")
        if given is not None and not isinstance(given, CronSchedule | FixedRate):
            raise self._wrong(f"schedule={shown(given)} must be a CronSchedule(...) or a FixedRate(...)")
        return given

    def _parallelism(self) -> int:
        given = self._options.get("max_parallelism", 0)
        if isinstance(given, bool) or not isinstance(given, int) or given < 0:
            raise self._wrong(f"max_parallelism={shown(given)} must be a whole number, 0 or more")
        return given

    def _check_names(self) -> None:
        known = self.workflow.signature.parameters
        for name in (*self.default_inputs, *self.fixed_inputs):
            if name not in known:
                raise self._wrong(
                    f"the workflow {self.workflow.short_name} has no input {name!r}; it takes: "
                    f"{', '.join(known) or 'none'}"
                )
        if both := [name for name in self.default_inputs if name in self.fixed_inputs]:
            raise self._wrong(
                f"its input {both[0]!r} is fixed and has a default besides; remove one of the two"
            )

    def _check_schedule(self, interface: Interface) -> None:
        if self.schedule is None:
            return
        kickoff = self.schedule.kickoff_time_input_arg
        if kickoff:
            variable = interface.input(kickoff)
            if variable is None:
                problem = "which is fixed" if kickoff in self.fixed_inputs else "which is no input of it"
                raise self._wrong(f"its schedule gives the time to {kickoff!r}, {problem}")
            if not accepts(variable.type, DATETIME):
                raise self._wrong(
                    f"its schedule gives the time to {kickoff!r}, which takes {describe(variable.type)} and not datetime"
                )
        missing = [v.name for v in interface.inputs if v.default is None and v.name != kickoff]
        if missing:
            raise self._wrong(
                f"it has a schedule, but nobody gives its input {missing[0]!r} then; add it to default_inputs or "
                "fixed_inputs"
            )


def _checked_name(name: object, where: str) -> str:
    if name == "":
        return ""  # the default launch plan, whose name is the workflow's
    try:
        return entity_name(str(name))
    except InvalidIdentifier as error:
        raise CompileError(error.message, where) from error


def _workflow(given: object) -> WorkflowBase:
    found = next(entities_behind(given), None)
    if not isinstance(found, WorkflowBase):
        raise CompileError(
            f"A launch plan starts a workflow, not {shown(given)}. Give a function with @workflow.",
            call_site(),
        )
    return found


def _default(workflow: WorkflowBase, where: str) -> LaunchPlan[..., Any]:
    known = _known(workflow).get("")
    if known is not None:
        return known
    said = workflow.default_options
    options = {
        "labels": said.labels,
        "annotations": said.annotations,
        "max_parallelism": said.max_parallelism,
        "notifications": list(said.notifications),
    }
    return _remember(LaunchPlan("", workflow, options, where, calling_module()))


def _remember(plan: LaunchPlan[..., Any]) -> LaunchPlan[..., Any]:
    _known(plan.workflow)[plan._name] = plan  # noqa: SLF001 - of this module
    return plan


def _known(workflow: WorkflowBase) -> dict[str, LaunchPlan[..., Any]]:
    """Return a workflow's launch plans by name; they live as long as it does."""
    found: dict[str, LaunchPlan[..., Any]] = vars(workflow).setdefault("_launch_plans", {})
    return found
