"""The package root: light, and with exactly the names that are promised."""

from __future__ import annotations

import subprocess
import sys

import flyte_temporal

EXPORTED = [
    "Artifact",
    "BatchSize",
    "CSVFile",
    "Cache",
    "CachePolicy",
    "Checkpoint",
    "ContainerTask",
    "CronSchedule",
    "DataStrategy",
    "Deck",
    "DeckField",
    "Email",
    "Environment",
    "ExecutionParameters",
    "FailurePolicy",
    "FileExt",
    "FixedRate",
    "FlyteAnnotation",
    "FlyteDirectory",
    "FlyteError",
    "FlyteFile",
    "FlyteNonRecoverableException",
    "FlytePickle",
    "FlyteRecoverableException",
    "FlyteTemporalError",
    "HDF5EncodedFile",
    "HTMLPage",
    "HashMethod",
    "ImageSpec",
    "ImperativeWorkflow",
    "Inputs",
    "JPEGImageFile",
    "JSON",
    "JSONLFile",
    "JoblibSerializedFile",
    "LaunchPlan",
    "MarkdownRenderer",
    "ONNXFile",
    "Options",
    "OutputLocation",
    "PDFFile",
    "PNGImageFile",
    "PagerDuty",
    "PickleWarning",
    "PodTemplate",
    "PythonFunctionWorkflow",
    "PythonInstanceTask",
    "PythonNotebook",
    "PythonPickledFile",
    "PythonTask",
    "Resources",
    "SQLAlchemyConfig",
    "SQLAlchemyTask",
    "SQLTask",
    "SQLite3Config",
    "SQLite3Task",
    "SVGImageFile",
    "Secret",
    "SecretWarning",
    "ShellTask",
    "Slack",
    "StructuredDataset",
    "StructuredDatasetDecoder",
    "StructuredDatasetEncoder",
    "StructuredDatasetTransformerEngine",
    "TFRecordFile",
    "TFRecordsDirectory",
    "TaskMetadata",
    "TensorboardLogs",
    "TopFrameRenderer",
    "TypeEngine",
    "TypeTransformer",
    "VersionParameters",
    "Workflow",
    "WorkflowExecutionPhase",
    "WorkflowFailurePolicy",
    "__version__",
    "approve",
    "conditional",
    "create_node",
    "current_context",
    "dynamic",
    "eager",
    "gate_answers",
    "kwtypes",
    "map_task",
    "reference_launch_plan",
    "reference_task",
    "reference_workflow",
    "sleep",
    "task",
    "wait_for_input",
    "workflow",
    "Backoff",
    "OnOom",
    "RetryPolicy",
    "Timeouts",
]


def python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def test_the_exported_names_are_the_promised_ones() -> None:
    assert sorted(flyte_temporal.__all__) == sorted(EXPORTED)
    for name in EXPORTED:
        assert getattr(flyte_temporal, name) is not None
    assert set(EXPORTED) <= set(dir(flyte_temporal))


def test_the_root_imports_nothing() -> None:
    code = "import sys; before = set(sys.modules); import flyte_temporal; print(sorted(set(sys.modules) - before))"
    assert python(code) == "['__future__', 'flyte_temporal']"


def test_an_authors_names_bring_no_heavy_library() -> None:
    code = (
        "import sys; from flyte_temporal import task, workflow, FlyteFile, Resources, current_context\n"
        "@task\ndef f(n: int = 1) -> int: return n\n"
        "@workflow\ndef w(n: int = 1) -> int: return f(n=n)\n"
        "assert w() == 1\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'temporalio', 'sqlalchemy', 'pandas', 'pyarrow', "
        "'numpy', 'typer', 'rich', 'pydantic_settings', 'fastapi', 'httpx', 'kubernetes'}))"
    )
    assert python(code) == "[]"


def test_a_name_is_the_same_object_as_in_its_home() -> None:
    from flyte_temporal.sdk.tasks import task
    from flyte_temporal.spec.entities import FailurePolicy

    assert flyte_temporal.task is task
    assert flyte_temporal.WorkflowFailurePolicy is FailurePolicy


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(flyte_temporal, "taks")


def test_sub_packages_are_imported_as_usual() -> None:
    assert python(
        "from flyte_temporal import errors; import flyte_temporal.spec as s; print(errors.__name__, s.__name__)"
    ) == ("flyte_temporal.errors flyte_temporal.spec")
