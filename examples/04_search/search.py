"""Search for the lowest point of a function: a map over candidates, a decision, and a dynamic task that goes deeper."""

from dataclasses import dataclass

from flyte_temporal import conditional, dynamic, map_task, task, workflow


@dataclass
class Found:
    x: float
    value: float
    rounds: int


@task
def candidates(low: float, high: float, count: int) -> list[float]:
    step = (high - low) / (count - 1)
    return [low + i * step for i in range(count)]


@task(retries=2)
def measure(x: float) -> float:
    """Stand for an experiment that takes long: each candidate is an attempt of its own, with its own retries."""
    if x == 0:
        raise ZeroDivisionError("nothing can be measured at 0")
    return (x - 1.3) ** 2 + 0.1 / abs(x)


@task
def best(xs: list[float], values: list[float | None], rounds: int) -> Found:
    known = [(value, x) for x, value in zip(xs, values, strict=True) if value is not None]
    value, x = min(known)
    return Found(x=round(x, 6), value=round(value, 6), rounds=rounds)


@workflow
def look(low: float, high: float, rounds: int) -> Found:
    """Measure nine points side by side; one in five may fail."""
    xs = candidates(low=low, high=high, count=9)
    values = map_task(measure, concurrency=4, min_success_ratio=0.8)(x=xs)
    return best(xs=xs, values=values, rounds=rounds)


@dynamic
def refine(found: Found, width: float, limit: float) -> Found:
    """Look again around the best point; how often is known only while it runs."""
    if width <= limit:
        return found
    closer = look(low=found.x - width, high=found.x + width, rounds=found.rounds + 1)
    return refine(found=closer, width=width / 4, limit=limit)


@task
def keep(found: Found) -> Found:
    return found


@workflow
def search(low: float = -2.0, high: float = 2.0, limit: float = 0.05) -> Found:
    """Find where the function is lowest.

    Args:
        low: Left end of the range.
        high: Right end of the range.
        limit: How close is close enough.
    """
    found = look(low=low, high=high, rounds=1)
    return (
        conditional("close enough")
        .if_(found.value < 0.05)
        .then(keep(found=found))
        .else_()
        .then(refine(found=found, width=0.5, limit=limit))
    )
