"""`functools.partial` of tasks, and maps over workflows and launch plans, whose items are more than one attempt."""

from functools import partial
from typing import NamedTuple

from flyte_temporal import LaunchPlan, map_task, task, workflow


class Named(NamedTuple):
    n: int
    text: str


@task
def scaled(n: int, factor: int = 10, plus: int = 0) -> int:
    if n < 0:
        raise ValueError(f"{n} is negative")
    return n * factor + plus


@task
def described(n: int, word: str) -> Named:
    return Named(n, f"{word} {n}")


@workflow
def chain(n: int, factor: int = 2, word: str = "is") -> Named:
    return described(n=scaled(n=scaled(n=n, factor=factor), factor=factor), word=word)


thrice = LaunchPlan.create("partials.thrice", chain, fixed_inputs={"factor": 3})

tripled = partial(scaled, factor=3)


@workflow
def in_a_workflow(n: int) -> int:
    """A partial is called like the task, also one of a partial, and one that binds a promise."""
    more = partial(tripled, plus=scaled(n=n))
    return more(n=tripled(n=n))


@workflow
def in_a_map(ns: list[int], plus: int) -> list[int]:
    """What is bound may be a constant, an input, or what another node gives."""
    first = map_task(partial(scaled, factor=3, plus=plus))(n=ns)
    return map_task(partial(tripled, plus=first[0]))(n=first)


@workflow
def over_a_workflow(ns: list[int], words: list[str]) -> tuple[list[int], list[str]]:
    return map_task(chain)(n=ns, word=words)


@workflow
def over_a_bound_workflow(ns: list[int]) -> list[str]:
    return map_task(partial(chain, factor=5, word="has"), concurrency=1)(n=ns).text


@workflow
def over_a_launch_plan(ns: list[int]) -> list[str]:
    return map_task(partial(thrice, word="gives"))(n=ns).text


@workflow
def some_launch_plans_fail(ns: list[int]) -> list[str | None]:
    return map_task(thrice, min_success_ratio=0.5)(n=ns).text


@workflow
def workflow_fails(ns: list[int]) -> list[int]:
    return map_task(chain)(n=ns).n


@workflow
def fixed_is_given(ns: list[int]) -> list[int]:
    return map_task(partial(thrice, factor=4))(n=ns).n
