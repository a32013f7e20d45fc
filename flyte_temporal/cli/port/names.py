"""What becomes of flytekit's names: data, read by `lookup`.

Most names are spelt as in flytekit, and which of them there are is read from the package root itself. So this module lists
only what cannot be read from there: names that are spelt differently, names that we lack with what to write instead,
and the modules of flytekit, which a dotted name cannot be taken apart without.
"""

from __future__ import annotations

ROOT = "flyte_temporal"
TESTING = "flyte_temporal.testing"

ONLY_HERE = frozenset(
    {
        "FailurePolicy",
        "FlyteNonRecoverableException",
        "FlyteTemporalError",
        "Inputs",
        "PickleWarning",
        "PythonTask",
        "SecretWarning",
        "Workflow",
        "__version__",
        "gate_answers",
    }
)
"""Names of the package root that are no names of flytekit, or mean something else there."""

IN_TESTING = frozenset({"patch", "task_mock"})
"""Names of `flytekit.testing` that `flyte_temporal.testing` has."""

RENAMED = {
    "flytekit.Workflow": "ImperativeWorkflow",
    "flytekit.exceptions.base.FlyteException": "FlyteTemporalError",
}
"""Names that are spelt differently here."""

SAME_IN_FOREIGN = {
    "flytekit.models.security.Secret": "Secret",
    "flytekit.models.core.execution.WorkflowExecutionPhase": "WorkflowExecutionPhase",
}
"""Names that mean the same all the same."""

PLUGINS = frozenset({"flytekitplugins.sqlalchemy", "flytekitplugins.polars"})
"""Plug-ins whose names the package root has."""

BUILT_IN = frozenset({"flytekitplugins.polars"})
"""Those that are imported for what they register, which is part of this library: the import is dropped."""

_DATACLASS = "write a dictionary; labels and annotations are plain mappings here"
_ENGINE = "nothing is needed: dataframe handlers are found by themselves; docs/types.md says how to add one"
_MODEL = "there are no protobuf models; flyte_temporal.spec has the documents that programs compile to"
_PROMISE = "read values in a task; a promise offers attributes, indices and comparisons"
_CONTEXT = "use current_context() in a task; there is no context object to push"
_CLIENT = "use flyte_temporal.client.Client"
_REFERENCE = "use reference_task, reference_workflow or reference_launch_plan as a decorator"

FOREIGN = {
    "flytekit.clients": _CLIENT,
    "flytekit.clis": "run 'flyte-temporal' as a program",
    "flytekit.configuration": "nothing is needed: entities compile by themselves, settings are FLYTE_TEMPORAL_* variables",
    "flytekit.interactive": "run the task with --local under a debugger",
    "flytekit.interfaces": "import what is needed from Python",
    "flytekit.models": _MODEL,
    "flytekit.remote": _CLIENT,
    "flytekit.sensor": "write a task that raises FlyteRecoverableException with retries, or wait_for_input",
    "flytekit.tools": "nothing is needed: entities compile and register by themselves",
}
"""Modules in which a name that we have too means something else, and what to do instead of using them."""

LACKING = {
    "Annotations": _DATACLASS,
    "AuthRole": "identity belongs to the installation, not to the program",
    "BaseSensor": "write a task that raises FlyteRecoverableException with retries, or wait_for_input",
    "Blob": _MODEL,
    "BlobMetadata": _MODEL,
    "BlobType": _MODEL,
    "SyncCheckpoint": "use current_context().checkpoint; its class is Checkpoint",
    "ConcurrencyLimitBehavior": "give executions an id of your own (--name): equal requests attach to one execution",
    "ConcurrencyPolicy": "give executions an id of your own (--name): equal requests attach to one execution",
    "Config": _CLIENT,
    "Description": "write a docstring, or docs='...' as text",
    "Documentation": "write a docstring, or docs='...' as text",
    "EagerException": "catch the error that the task raised, by its own class",
    "FlyteContext": _CONTEXT,
    "FlyteContextManager": _CONTEXT,
    "FlyteRemote": _CLIENT,
    "FlyteSchema": "use StructuredDataset, or the dataframe's own class",
    "FlyteUserException": "catch UserCodeError of flyte_temporal.errors",
    "FlyteUserRuntimeException": "catch the exception that the task raised: it is not wrapped",
    "FlyteAssertion": "raise an exception of Python; CompileError of flyte_temporal.errors is what compiling raises",
    "FlyteTimeout": "catch ExecutionFailed of flyte_temporal.errors",
    "FlyteDisapprovalException": "catch the error of the execution; a rejected gate is a user error",
    "FlyteValidationException": "catch CompileError of flyte_temporal.errors",
    "FlyteEntityNotExistException": "catch NotFound of flyte_temporal.errors",
    "FlyteEntityAlreadyExistsException": "catch Conflict of flyte_temporal.errors",
    "Generator": "import it from typing",
    "ImageConfig": "give container_image='...' to the task",
    "Interface": "declare inputs and outputs with kwtypes, or by annotations",
    "LOGGING_RICH_FMT_ENV_VAR": "set the level and format of Python's own logging",
    "Labels": _DATACLASS,
    "LaunchPlanReference": _REFERENCE,
    "Literal": _MODEL + " (typing.Literal is another thing)",
    "LiteralType": _MODEL,
    "Promise": _PROMISE,
    "PythonFunctionTask": "PythonTask is what @task makes, for isinstance; a task kind of your own starts from SQLTask or ShellTask",
    "Scalar": _MODEL,
    "SecurityContext": "give secret_requests=[Secret(...)] to the task",
    "SensorEngine": "write a task that raises FlyteRecoverableException with retries, or wait_for_input",
    "SerializationSettings": "nothing is needed: entities compile by themselves",
    "SourceCode": "nothing is needed: the code bundle holds the source",
    "StructuredDatasetFormat": "write the format as text, such as 'parquet' or 'csv'",
    "StructuredDatasetType": _ENGINE,
    "TaskReference": _REFERENCE,
    "WorkflowReference": _REFERENCE,
    "get_reference_entity": _REFERENCE,
    "lazy_module": "import the library inside the function that uses it",
    "load_implicit_plugins": "nothing is needed: plug-ins are found by entry point when their type is met",
    "logger": "use current_context().logging in a task, logging.getLogger elsewhere",
    "new_context": _CONTEXT,
    "traceback": "import it from rich or from Python",
}
"""Names that we lack, and the nearest equivalent or what to do."""

MODULE_ALIASES = {
    "flytekit.directory": "flytekit.types.directory",
    "flytekit.file": "flytekit.types.file",
    "flytekit.iterator": "flytekit.types.iterator",
}
"""Modules that flytekit's root offers under another name."""


def _modules(package: str, names: str) -> frozenset[str]:
    return frozenset({package, *(f"{package}.{name}" for name in names.split())})


MODULES = (
    _modules(
        "flytekit",
        "clients clis configuration core deck exceptions experimental extend extras image_spec interaction interactive "
        "interfaces loggers models remote sensor testing tools types directory file iterator",
    )
    | _modules(
        "flytekit.core",
        "annotation array_node array_node_map_task artifact base_sql_task base_task cache checkpointer "
        "class_based_resolver condition constants container_task context_manager data_persistence docstring "
        "dynamic_workflow_task environment gate hash interface launch_plan legacy_map_task local_cache map_task mock_stats "
        "node node_creation notification options pod_template promise python_auto_container "
        "python_customized_container_task python_function_task reference reference_entity resources schedule "
        "shim_task task testing tracker type_engine type_helpers type_match_checking utils worker_queue workflow",
    )
    | _modules("flytekit.deck", "deck renderer html")
    | _modules("flytekit.exceptions", "base eager scopes system user utils")
    | _modules("flytekit.extend", "backend")
    | _modules("flytekit.experimental", "eager_function")
    | _modules("flytekit.image_spec", "default_builder image_spec noop_builder")
    | _modules(
        "flytekit.types",
        "directory error file iterator numpy pickle schema structured directory.types error.error file.file "
        "file.image iterator.iterator iterator.json_iterator numpy.ndarray pickle.pickle schema.types "
        "structured.basic_dfs structured.structured_dataset",
    )
    | _modules(
        "flytekit.extras",
        "accelerators cloud_pickle_resolver pydantic_transformer pytorch sklearn sqlite3 sqlite3.task tasks tasks.shell "
        "tensorflow webhook",
    )
    | _modules("flytekit.models", "common core literals security task types")
    | _modules("flytekitplugins", "polars polars.sd_transformers sqlalchemy sqlalchemy.task")
)
"""Modules of flytekit that programs name."""
