"""Tasks that are objects of a module and not decorated functions: the base of shell, SQL and container tasks.

Another process finds such a task as it finds a function: by its module and the name that it is assigned to there. Apart
from `tasks` because nothing here comes from a signature; authors of task kinds subclass `PythonInstanceTask`.
"""

from __future__ import annotations

import inspect
import keyword
import sys
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Unpack

from flyte_temporal.errors import CompileError, InvalidIdentifier
from flyte_temporal.sdk.callsite import call_site, is_ours
from flyte_temporal.sdk.entity import dotted_module, name_in
from flyte_temporal.sdk.retrying import RetryPolicy, Timeouts
from flyte_temporal.sdk.signature import REQUIRED, Parameter, Signature
from flyte_temporal.sdk.tasks import PythonTask, TaskOptions
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec.entities import EntryPoint
from flyte_temporal.spec.identifiers import entity_name
from flyte_temporal.spec.interface import Interface


@dataclass(frozen=True)
class TaskMetadata:
    """Options of a task in one object, as flytekit's constructors take them (`metadata=`); options of its own win.

    Args:
        cache: Whether outputs are remembered; needs `cache_version`.
        cache_serialize: Whether equal calls at the same time wait for one of them.
        cache_version: The user's version, part of the key.
        cache_ignore_input_vars: Inputs left out of the key.
        interruptible: Whether it may run on machines that can be taken away.
        deprecated: Why not to use it any more.
        retries: Further attempts after a failure, as a number or a `RetryPolicy`.
        timeout: Longest time of one attempt, in seconds or as timedelta, or `Timeouts`.
        pod_template_name: Template of the pod, on Kubernetes.
    """

    cache: bool = False
    cache_serialize: bool = False
    cache_version: str = ""
    cache_ignore_input_vars: tuple[str, ...] = ()
    interruptible: bool | None = None
    deprecated: str = ""
    retries: int | RetryPolicy = 0
    timeout: float | timedelta | Timeouts | None = None
    pod_template_name: str | None = None

    def options(self) -> dict[str, Any]:
        """Return what is set here, as options of a task."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}


class InstanceOptions(TaskOptions, total=False):
    """Options of tasks that are objects, besides those of `@task`.

    Args:
        metadata: Some of them in one object.
    """

    metadata: TaskMetadata


class PythonInstanceTask(PythonTask[..., Any]):
    """A task that is an object of a module: its interface is stated, and its class says what it does.

    A kind of task is a subclass that sets `task_type`, gives `config` to the constructor (what it does, as JSON: it is
    a part of the spec, so that a change of it is a change of the task) and overrides `execute`. See docs/task-kinds.md.

    Args:
        name: The name by which it is registered, such as `reports.daily`.
        inputs: Python type of each input, from `kwtypes(...)`.
        outputs: Python type of each output.
        config: What it does, as JSON; no secrets, no paths of this machine.
        options: See `TaskOptions`.

    Raises:
        CompileError: If the name, an input or an option is wrong.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Name the class in messages."""
        super().__init_subclass__(**kwargs)
        cls.made_by = f"{cls.__name__}()"

    made_by: ClassVar[str] = "PythonInstanceTask()"

    def __init__(
        self,
        name: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        **options: Unpack[InstanceOptions],
    ) -> None:
        self._site = call_site()
        self._name = _checked_name(name, self.made_by, self._site)
        self._inputs = self._checked_types("inputs", inputs)
        self._outputs = self._checked_types("outputs", outputs)
        given: dict[str, Any] = dict(options)
        metadata = given.pop("metadata", None)
        if metadata is not None and not isinstance(metadata, TaskMetadata):
            raise self.wrong(f"metadata={shown(metadata)} must be a TaskMetadata(...).")
        super().__init__(self.execute, {**(metadata.options() if metadata else {}), **given}, self._site)
        frame = _module_frame()
        self._globals: Mapping[str, Any] = frame.f_globals if frame is not None else {}
        self.__module__ = str(self._globals.get("__name__", "__main__"))
        self.__name__ = self._name.rpartition(".")[2]
        self.__qualname__ = self._name
        self.__doc__ = self._docs
        self.config = dict(config or {})
        # What editors, and inspect.signature, show of a call.
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, annotation=t)
                for n, t in self._inputs.items()
            ]
        )

    def execute(self, *args: Any, **inputs: Any) -> Any:
        """Do the work with Python values and return the outputs: one value, a tuple of several, or None.

        Args:
            args: Nothing; a subclass may write its inputs out, `def execute(self, x: int) -> str`.
            inputs: A value for each input, by name.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it does: override execute().")

    def wrong(self, message: str) -> CompileError:
        """Return an error about how this task was declared, with the place of its declaration."""
        return CompileError(message, self._site)

    def folder(self) -> Path:
        """Return the folder of the module that declares the task; relative paths of declarations start there."""
        return Path(str(self._globals.get("__file__") or "x")).resolve().parent

    def _checked_types(self, what: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
        if given is not None and not isinstance(given, Mapping):
            raise self.wrong(f"{what}={shown(given)} must say names and types. Write kwtypes(x=int).")
        for name in given or {}:
            if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
                raise self.wrong(
                    f"{what}: {name!r} cannot be the name of a variable. Use letters, digits and `_`."
                )
        return dict(given or {})

    @cached_property
    def signature(self) -> Signature:
        """Return the Python side of what it takes and gives."""
        parameters = {n: Parameter(n, t, REQUIRED) for n, t in self._inputs.items()}
        form = ("none", "single")[len(self._outputs)] if len(self._outputs) < 2 else "tuple"
        return Signature(parameters, self._outputs, form, _named(self._outputs))  # type: ignore[arg-type] # one of the three words

    @cached_property
    def interface(self) -> Interface:
        """Return the spec side of what it takes and gives.

        Raises:
            UnsupportedType: If a type has no transformer.
        """
        from flyte_temporal.sdk.interface import read_interface

        return read_interface(self.signature, self, self._site)

    def source(self) -> str:
        """Return the texts of its config, such as a script or a query."""
        return "\n\n".join(
            text for text in self.config.values() if isinstance(text, str) and "\n" in text.strip()
        )

    def _plain_name(self) -> str:
        return self._name

    @property
    def description(self) -> str:
        """Return what it does, from `docs`."""
        return self._docs

    @property
    def name(self) -> str:
        """Return the name that it was given."""
        return self._name

    @property
    def short_name(self) -> str:
        """Return the last part of its name."""
        return self.__name__

    @property
    def where(self) -> str:
        """Return file and line of its declaration."""
        return self._site

    @cached_property
    def entry(self) -> EntryPoint:
        """Return module and name under which another process finds this object.

        Raises:
            CompileError: If it is assigned to no name at the top level of a module.
        """
        namespace = self._globals or vars(sys.modules.get(self.__module__, sys))
        found = name_in(namespace, self)
        if not found:
            raise self.wrong(
                f"The task {self._name!r} is assigned to no name at the top level of {self.__module__}, so another "
                f"process cannot find it. Write there: {self.__name__.replace('-', '_')} = {type(self).__name__}(...)."
            )
        return EntryPoint(module=dotted_module(self), name=found)


def _checked_name(name: object, made_by: str, where: str) -> str:
    if not isinstance(name, str):
        raise CompileError(f"name={shown(name)} of {made_by} must be a text.", where)
    try:
        return entity_name(name)
    except InvalidIdentifier as error:
        raise CompileError(error.message, where) from error


def _named(outputs: Mapping[str, Any]) -> type | None:
    """Return a class whose instances have several outputs as attributes, or None for fewer."""
    return namedtuple("Outputs", outputs) if len(outputs) > 1 else None  # noqa: PYI024 - known at run time only


def _module_frame() -> FrameType | None:
    """Return the frame of the module that is being imported; in a call at run time that of the caller."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as in callsite
    nearest: FrameType | None = None
    while frame is not None:
        if not is_ours(frame.f_code):
            nearest = nearest or frame
            if frame.f_code.co_name == "<module>":
                return frame
        elif nearest is not None:
            break  # beyond this is who runs us, and no place where the task is assigned to a name
        frame = frame.f_back
    return nearest
