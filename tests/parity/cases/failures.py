"""What runs after a failure: failure policies, handlers of workflows and of nodes, errors as values."""

from flyte_temporal import FlyteError, WorkflowFailurePolicy, create_node, task, workflow

ALL = WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE


@task
def good(n: int) -> int:
    return n


@task
def bad(n: int) -> int:
    raise ValueError(f"{n} is bad")


@task
def tidy(n: int, err: FlyteError | None = None) -> None:
    assert err is not None, "a handler gets the error"
    assert err.failed_node_id.endswith("n0"), err
    print(f"tidied {n} after {err.message} in {err.failed_node_id}")


@task
def tidy_node(n: int, err: FlyteError) -> str:
    return f"{n}: {err.message}"


@task
def broken(err: FlyteError) -> None:
    raise RuntimeError(f"cannot handle {err.message}")


@workflow(failure_policy=ALL, on_failure=tidy)
def goes_on(n: int) -> int:
    first = bad(n=n)
    good(n=first)
    other = good(n=n)
    create_node(bad, n=other).with_overrides(on_failure=tidy_node)
    return first


@workflow(on_failure=broken)
def stops(n: int) -> int:
    first = bad(n=n)
    return good(n=first)


@workflow
def outer(n: int) -> int:
    inner = goes_on(n=n)
    return good(n=inner)


@workflow(on_failure=tidy)
def handler_workflow_is_not_needed(n: int) -> int:
    return good(n=n)


@workflow
def tidy_more(n: int, err: FlyteError) -> None:
    tidy(n=n, err=err)


@workflow(on_failure=tidy_more)
def handled_by_a_workflow(n: int) -> int:
    return bad(n=n)


@task
def text_of(err: FlyteError) -> str:
    return f"{err.message} at {err.failed_node_id}"


@workflow
def error_as_value(err: FlyteError) -> tuple[str, FlyteError]:
    return text_of(err=err), err
