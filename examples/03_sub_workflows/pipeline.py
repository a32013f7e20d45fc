"""Workflows in workflows, orderings without values, and parts of outputs."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from flyte_temporal import task, workflow


@dataclass
class Shop:
    name: str
    prices: list[float]


@dataclass
class Order:
    shop: Shop
    amounts: dict[str, int]


class Bill(NamedTuple):
    total: float
    line: str


@task
def take_order(pieces: int) -> Order:
    """Make up an order."""
    return Order(Shop("Corner", [2.5, 4.0]), {"apples": pieces, "pears": 2 * pieces})


@task
def open_till(shop: str) -> None:
    """Return nothing; others only wait for it."""
    print(f"the till of {shop} is open")


@task
def price(amount: int, each: float, discount: float = 0.0) -> float:
    """Return what some pieces cost."""
    return round(amount * each * (1 - discount), 2)


@task
def add_up(prices: list[float]) -> float:
    """Return the sum."""
    return sum(prices)


@task
def write_line(shop: str, total: float) -> str:
    """Return a line for the receipt."""
    return f"{shop}: {total:.2f}"


@workflow
def bill(order: Order, discount: float) -> Bill:
    """Price an order: parts of the order go where they are needed."""
    opened = open_till(shop=order.shop.name)
    with_discount = partial(price, discount=discount)
    apples = with_discount(amount=order.amounts["apples"], each=order.shop.prices[0])
    pears = with_discount(amount=order.amounts["pears"], each=order.shop.prices[1])
    opened >> apples
    opened >> pears
    total = add_up(prices=[apples, pears])
    return Bill(total=total, line=write_line(shop=order.shop.name, total=total))


@workflow
def shopping(pieces: int = 2) -> tuple[float, str, float]:
    """Price one order twice, the second time half off, in this order."""
    order = take_order(pieces)
    full = bill(order=order, discount=0.0)
    half = bill(order=order, discount=0.5).with_overrides(node_name="sale")
    full >> half
    total, line = full
    return total, line, half.total


if __name__ == "__main__":
    print(shopping(pieces=2))
