"""Find a task by its entry point and run it on literals. Called by `runtime`, in the process of one attempt."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flyte_temporal.errors import UserCodeError
from flyte_temporal.sdk.context import current_context
from flyte_temporal.sdk.conversions import InputNotReadable, OutputInvalid, reading, writing
from flyte_temporal.sdk.dynamics import DynamicTask
from flyte_temporal.sdk.entity import entities_behind
from flyte_temporal.sdk.gather import gather_body
from flyte_temporal.sdk.recording import Recorded
from flyte_temporal.sdk.tasks import PythonTask
from flyte_temporal.sdk.types.converter import ValueContext, shown
from flyte_temporal.sdk.types.place import placed
from flyte_temporal.sdk.types.values import decode, encode
from flyte_temporal.spec.entities import Closure, EntryPoint, TaskSpec
from flyte_temporal.spec.literals import Inline, LiteralValue

__all__ = ["InputNotReadable", "OutputInvalid", "TaskNotLoadable", "load", "run"]


class TaskNotLoadable(UserCodeError):
    """The task's module cannot be imported in the attempt, or has no such task."""

    code = "TaskNotLoadable"
    retryable = False


def load(entry: EntryPoint) -> PythonTask[..., object]:
    """Import a task.

    Args:
        entry: Module and dotted name; the module's source root is on `sys.path`.

    Raises:
        TaskNotLoadable: If the import fails (the user's exception is its cause) or nothing there is a task.
    """
    try:
        found: object = importlib.import_module(entry.module)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError)
        advice = " Is it part of the code bundle, or installed where the task runs?" if missing else ""
        raise TaskNotLoadable(
            f"The module {entry.module} of the task {entry.name} cannot be imported: {type(error).__name__}: "
            f"{error}.{advice}"
        ) from error
    for part in entry.name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise TaskNotLoadable(
                f"The module {entry.module} has no {entry.name!r}. Was it defined only under `if __name__ == "
                '"__main__"`, or by code that does not run on import?'
            ) from error
    for entity in entities_behind(found):
        if isinstance(entity, PythonTask):
            return entity
    raise TaskNotLoadable(
        f"{entry.module}.{entry.name} is {shown(found)} and not a task. Decorate it with @task."
    )


def run(
    task: PythonTask[..., object],
    spec: TaskSpec,
    inputs: Mapping[str, LiteralValue],
    context: ValueContext,
    computed: Callable[[], object] = lambda: None,
) -> dict[str, LiteralValue] | Closure:
    """Run a task once; exceptions of the user's own function pass unchanged.

    Args:
        task: The task, as `load` returned it.
        spec: What it was compiled to; its interface says how values are written.
        inputs: A literal for each input; a missing one takes its default.
        context: Where files and large values live.
        computed: Called when the user's function is over, whether it returned or raised.

    Returns:
        A literal for each output; of a dynamic task that made nodes the closure that gives them.

    Raises:
        CompileError: If what a dynamic task made is wrong.
        InputNotReadable: If an input does not fit its parameter.
        OutputInvalid: If the function returned something that it does not declare.
        StorageError: If the blob store failed.
    """
    report = current_context().report
    with report.timed("Read inputs"):
        values = _values(task, spec, inputs, context)
    if isinstance(task, DynamicTask):
        with _function(computed), placed(context):
            outputs = task.expand(values, context)
        if isinstance(outputs, Recorded):
            return gather_body(task, spec.name, outputs)
    else:
        with _function(computed), placed(context):
            outputs = task.invoke(values)
    with report.timed("Write outputs"):
        return _written(task, spec, outputs, context)


@contextmanager
def _function(computed: Callable[[], object]) -> Iterator[None]:
    try:
        yield
    finally:
        computed()


def _values(
    task: PythonTask[..., object], spec: TaskSpec, inputs: Mapping[str, LiteralValue], context: ValueContext
) -> dict[str, object]:
    values = {}
    for variable in spec.interface.inputs:
        parameter = task.signature.parameters.get(variable.name)
        if parameter is None:
            raise InputNotReadable(f"{spec.name} has no parameter {variable.name!r} in this code bundle.")
        literal = inputs.get(variable.name)
        if literal is None:
            if variable.default is None:
                raise InputNotReadable(f"Input {variable.name!r} of {spec.name} is missing.")
            literal = Inline(value=variable.default.value, hash=variable.default.hash)
        with reading(spec.name, variable.name):
            values[variable.name] = decode(literal, variable.type, parameter.annotation, context)
    return values


def _written(
    task: PythonTask[..., object], spec: TaskSpec, outputs: Mapping[str, object], context: ValueContext
) -> dict[str, LiteralValue]:
    written = {}
    for variable in spec.interface.outputs:
        if variable.name not in outputs:
            raise OutputInvalid(f"{spec.name} has no output {variable.name!r} in this code bundle.")
        with writing(spec.name, variable.name):
            written[variable.name] = encode(
                outputs[variable.name], task.signature.outputs[variable.name], context
            )
    return written
