"""References to what others registered: a run without a registry refuses them, wherever they stand."""

from flyte_temporal import map_task, reference_launch_plan, reference_task, reference_workflow, task, workflow


@reference_task("shop", "production", "shop.price", "v1")
def price(amount: int) -> float: ...  # type: ignore[empty-body]


@reference_workflow("shop", "production", "shop.order", "v2")
def order(amount: int) -> str: ...  # type: ignore[empty-body]


@reference_launch_plan("shop", "production", "shop.nightly", "v3")
def nightly(amount: int) -> str: ...  # type: ignore[empty-body]


@task
def double(n: int) -> int:
    return 2 * n


@workflow
def of_a_task(n: int) -> float:
    return price(amount=double(n=n))


@workflow
def of_a_workflow(n: int) -> str:
    return order(amount=n)


@workflow
def of_a_launch_plan(n: int) -> str:
    return nightly(amount=n)


@workflow
def inner(n: int) -> float:
    return price(amount=n)


@workflow
def below(n: int) -> float:
    return inner(n=double(n=n))


@workflow
def mapped(ns: list[int]) -> list[float]:
    return map_task(price)(amount=ns)


@workflow
def wrong_type() -> float:
    return price(amount="three")  # type: ignore[arg-type]
