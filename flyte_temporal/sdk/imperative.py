"""`ImperativeWorkflow`: a workflow put together by calls, where no function could say it.

Used by authors whose nodes come from configuration or from loops over data known when the file is loaded. It compiles to
the same spec as a function that makes the same calls.
"""

from __future__ import annotations

import keyword
from collections import namedtuple
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from flyte_temporal.errors import CompileError, InvalidIdentifier, UnsupportedType
from flyte_temporal.sdk.binding import Target, bind
from flyte_temporal.sdk.calling import Called
from flyte_temporal.sdk.callsite import call_site, calling_module
from flyte_temporal.sdk.conditionals import Conditional
from flyte_temporal.sdk.constants import constant_json
from flyte_temporal.sdk.entity import entities_behind
from flyte_temporal.sdk.handlers import handler_of
from flyte_temporal.sdk.policies import refuse_unknown
from flyte_temporal.sdk.promises import NodeOutputs, Origin, Promise, origin_of
from flyte_temporal.sdk.recording import Recorded, Recording
from flyte_temporal.sdk.signature import REQUIRED, Parameter, Signature
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.sdk.types.engine import default_engine
from flyte_temporal.sdk.workflow_base import WorkflowBase
from flyte_temporal.spec.entities import FailurePolicy
from flyte_temporal.spec.identifiers import entity_name
from flyte_temporal.spec.interface import Default, Interface, Variable
from flyte_temporal.spec.types import LiteralType

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from flyte_temporal.sdk.options import Options


class ImperativeOptions(TypedDict, total=False):
    """Options of `ImperativeWorkflow`: those of `@workflow`."""

    failure_policy: FailurePolicy
    interruptible: bool
    on_failure: Callable[..., Any]
    deadline: float | timedelta
    docs: str
    default_options: Options


class ImperativeWorkflow(Called[..., Any], WorkflowBase):
    """A workflow made by calls: inputs first, then what runs, then outputs.

    Args:
        name: Name by which it is registered, used as it is: `train.all`.
        options: See `ImperativeOptions`.

    Raises:
        CompileError: If the name has forbidden characters, or an option makes no sense.
    """

    def __init__(self, name: str, **options: Unpack[ImperativeOptions]) -> None:
        self._where = call_site()
        self.__module__ = calling_module()
        try:
            self._name = entity_name(name)
        except InvalidIdentifier as error:
            raise CompileError(error.message, self._where) from error
        refuse_unknown(options, ImperativeOptions, "ImperativeWorkflow()", self._where)
        self.set_options(options, self._where)
        self._docs = options.get("docs") or ""
        self._recording = Recording(f"workflow {self.short_name}", self._where)
        self._recording.by_calls = True
        self._parameters: dict[str, Parameter] = {}
        self._inputs: dict[str, tuple[Variable, Promise]] = {}
        self._outputs: dict[str, tuple[Variable, Any, Any]] = {}

    def __repr__(self) -> str:
        return f"<workflow {self._name}>"

    @property
    def name(self) -> str:
        """Return the name that it was given."""
        return self._name

    @property
    def short_name(self) -> str:
        """Return the last part of the name."""
        return self._name.rpartition(".")[2]

    @property
    def where(self) -> str:
        """Return file and line where it was made."""
        return self._where

    @property
    def description(self) -> str:
        """Return what it does, from `docs`."""
        return self._docs

    @property
    def inputs(self) -> Mapping[str, Promise]:
        """Return the promises of its inputs by name."""
        return {name: promise for name, (_, promise) in self._inputs.items()}

    def ready(self) -> bool:
        """Return whether it has a node, so that it can run."""
        return self._recording.started

    def add_workflow_input(self, input_name: str, python_type: Any, default: Any = REQUIRED) -> Promise:
        """Declare an input and return its promise, to be given to nodes.

        Args:
            input_name: Its name.
            python_type: Its type, as one would annotate a parameter.
            default: Its value where none is given; without one, callers must give it.

        Raises:
            CompileError: If there is one of that name, it is no name, or the default does not fit.
            UnsupportedType: If the type has no transformer.
        """
        where = call_site()
        self._check_new(input_name, self._inputs, "input", where)
        label = f"Input {input_name!r}"
        type_ = self._type(python_type, label, where)
        value = None
        if default is not REQUIRED:
            try:
                value = Default(value=constant_json(default, python_type, type_))
            except CompileError as error:
                raise type(error)(
                    f"The default of input {input_name!r} of {self.short_name} cannot be used: {error.message}.",
                    where,
                ) from error
        promise = Promise(Origin(self._recording, None, input_name, type_, (), type_))
        self._inputs[input_name] = Variable(name=input_name, type=type_, default=value), promise
        self._parameters[input_name] = Parameter(input_name, python_type, default)
        return promise

    def add_entity(self, entity: object, /, **kwargs: Any) -> NodeOutputs:
        """Add a node and return its outputs, taken by name or position.

        Args:
            entity: A task, workflow or launch plan.
            kwargs: Its inputs: values, promises of inputs, or outputs of other nodes.

        Raises:
            CompileError: If it is no entity, or an argument is missing, unknown or does not fit.
        """
        found = next(entities_behind(entity), None)
        if found is None:
            raise CompileError(
                f"{self.short_name}: {shown(entity)} is no task, workflow or launch plan. Decorate it with @task.",
                call_site(),
            )
        return self._recording.node(found, (), kwargs)

    def add_task(self, task: object, /, **kwargs: Any) -> NodeOutputs:
        """Add a task; see `add_entity`."""
        return self.add_entity(task, **kwargs)

    def add_subwf(self, workflow: object, /, **kwargs: Any) -> NodeOutputs:
        """Add a sub-workflow; see `add_entity`."""
        return self.add_entity(workflow, **kwargs)

    def add_launch_plan(self, launch_plan: object, /, **kwargs: Any) -> NodeOutputs:
        """Add a launch plan, which runs as an execution of its own; see `add_entity`."""
        return self.add_entity(launch_plan, **kwargs)

    def add_on_failure_handler(self, entity: object) -> None:
        """Set what runs once after a failure, as `@workflow(on_failure=...)`.

        Raises:
            CompileError: If it is no task or workflow.
        """
        self.on_failure = handler_of(entity, call_site())

    def add_workflow_output(self, output_name: str, value: Any, python_type: Any = None) -> None:
        """Declare an output.

        Args:
            output_name: Its name.
            value: A promise, or a list or dict of promises.
            python_type: Its type; may be left out for an output or input as a whole.

        Raises:
            CompileError: If there is one of that name, the type is not known, or the value does not fit it.
        """
        where = call_site()
        self._check_new(output_name, self._outputs, "output", where)
        if isinstance(value, NodeOutputs) and len(value) == 1:
            value = value[0]
        annotation = self._annotation(value) if python_type is None else python_type
        if annotation is None:
            raise CompileError(
                f"Output {output_name!r} of {self.short_name}: the type of {shown(value)} is not known. Add "
                "python_type=..., as one would annotate a return value.",
                where,
            )
        variable = Variable(name=output_name, type=self._type(annotation, f"Output {output_name!r}", where))
        label = f"output {output_name!r} of the workflow {self.short_name}"
        bind(value, Target(label, variable.type, annotation, self._recording, where, self._recording.body))
        self._outputs[output_name] = variable, annotation, value

    def create_conditional(self, name: str) -> Conditional:
        """Begin a conditional; its cases take nodes of this workflow: `.then(wf.add_entity(...))`. See docs/conditional.md.

        Args:
            name: Its name, for people.
        """
        return Conditional(self._recording, name, call_site())

    @property
    def signature(self) -> Signature:
        """Return the Python side of what it takes and gives so far."""
        outputs = {name: annotation for name, (_, annotation, _) in self._outputs.items()}
        if len(outputs) < 2:
            return Signature(dict(self._parameters), outputs, "single" if outputs else "none")
        named: Any = namedtuple("Outputs", outputs)  # type: ignore[misc] # noqa: PYI024 - only known now
        return Signature(dict(self._parameters), outputs, "tuple", named)

    @property
    def interface(self) -> Interface:
        """Return the spec side of what it takes and gives so far."""
        return Interface(
            inputs=tuple(variable for variable, _ in self._inputs.values()),
            outputs=tuple(variable for variable, _, _ in self._outputs.values()),
        )

    def _record(self) -> Recorded:
        if not self.ready():
            raise CompileError(
                f"The workflow {self.short_name} has no node. Add a task with add_entity(...).", self._where
            )
        values = {name: value for name, (_, _, value) in self._outputs.items()}
        return self._recording.complete(values, self.signature, self.interface)

    def _check_new(self, name: object, known: Mapping[str, object], what: str, where: str) -> None:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise CompileError(
                f"{shown(name)} cannot be the name of an {what}. Use letters, digits and `_`.", where
            )
        if name in known:
            raise CompileError(
                f"The workflow {self.short_name} has an {what} {name!r} already. Choose another name.", where
            )

    def _type(self, annotation: Any, what: str, where: str) -> LiteralType:
        try:
            return default_engine().literal_type(annotation)
        except UnsupportedType as error:
            raise UnsupportedType(f"{what} of {self.short_name}: {error.message}", where) from error

    def _annotation(self, value: Any) -> Any:
        """Return the annotation of what a promise stands for as a whole, None for a part of it or a composition."""
        if not isinstance(value, Promise) or origin_of(value).path:
            return None
        origin = origin_of(value)
        if origin.draft is not None:
            return origin.draft.entity.signature.outputs.get(origin.output)
        parameter = self._parameters.get(origin.output)
        return parameter and parameter.annotation
