"""Gates: sleep, wait_for_input and approve, answered, rejected, and ordered."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flyte_temporal import approve, conditional, dynamic, sleep, task, wait_for_input, workflow


@dataclass
class Order:
    item: str
    count: int


@task
def double(x: int) -> int:
    return 2 * x


@task
def describe(order: Order, at: datetime) -> str:
    return f"{order.count} x {order.item} at {at:%Y-%m-%d}"


@workflow
def review(x: int) -> int:
    return double(x=approve(double(x=x), "looks good", timeout=timedelta(hours=1)))


@workflow
def approve_an_input(x: int) -> int:
    return approve(x, name="start")


@workflow
def ask(x: int) -> tuple[int, str]:
    count = wait_for_input("count", timeout=timedelta(hours=1), expected_type=int)
    order = wait_for_input("order", expected_type=Order)
    at = wait_for_input("at", expected_type=datetime)
    return double(x=count), describe(order=order, at=at)


@workflow
def nap(pause: timedelta) -> int:
    first = sleep(timedelta(milliseconds=20))
    second = sleep(pause)
    last = double(x=1)
    first >> second >> last
    return last


@workflow
def only_if_large(x: int) -> int:
    return conditional("large?").if_(x > 10).then(approve(x, name="large")).else_().then(double(x=x))


@dynamic
def ask_each(names: list[str]) -> list[int]:
    return [wait_for_input(name, expected_type=int) for name in names]
