"""Failure handlers of nodes: inside sub-workflows, on a sub-workflow's node, and as workflows."""

import tempfile
from pathlib import Path

from flyte_temporal import FlyteError, WorkflowFailurePolicy, create_node, task, workflow


@task
def good(n: int) -> int:
    return n


@task
def bad(n: int) -> int:
    raise ValueError(f"{n} is bad")


@task
def noted(n: int, err: FlyteError) -> None:
    assert err.message, "a handler gets the error"
    Path(tempfile.mkdtemp(), f"{n}.txt").write_text(err.message, encoding="utf-8")


@task
def checks_inputs(n: int, err: FlyteError | None = None) -> str:
    assert n == 8, f"the handler of a node gets the inputs of that node, not {n}"
    assert err is not None, "a handler gets the error"
    return err.failed_node_id


@task
def broken(n: int) -> None:
    raise RuntimeError(f"cannot handle {n}")


@workflow
def notes(n: int, err: FlyteError) -> None:
    noted(n=n, err=err)


@workflow
def inner(n: int) -> int:
    """The handler of the node runs; the one after it never does."""
    first = create_node(bad, n=n).with_overrides(on_failure=noted)
    return create_node(good, n=first.o0).with_overrides(on_failure=broken).o0  # type: ignore[return-value]


@workflow
def in_a_sub_workflow(n: int) -> int:
    return good(n=inner(n=n))


@workflow
def on_a_sub_workflow(n: int) -> int:
    found = create_node(inner, n=n).with_overrides(on_failure=notes)
    return good(n=found.o0)  # type: ignore[arg-type]


@workflow
def of_the_nodes_inputs(n: int) -> int:
    more = good(n=8)
    return create_node(bad, n=more).with_overrides(on_failure=checks_inputs, node_name="failing").o0  # type: ignore[return-value]


@workflow
def handler_fails(n: int) -> int:
    return create_node(bad, n=n).with_overrides(on_failure=broken).o0  # type: ignore[return-value]


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE, on_failure=notes)
def both_levels(n: int) -> int:
    first = create_node(bad, n=n).with_overrides(on_failure=noted)
    good(n=n)
    return first.o0  # type: ignore[return-value]


@workflow
def all_well(n: int) -> int:
    return create_node(good, n=n).with_overrides(on_failure=broken).o0  # type: ignore[return-value]


@task
def needs_more(other: str) -> None: ...


@workflow
def wrong_handler(n: int) -> int:
    return create_node(bad, n=n).with_overrides(on_failure=needs_more).o0  # type: ignore[return-value]
