"""A launch plan: alone, and called in a workflow, where it is an execution of its own."""

from flyte_temporal import LaunchPlan, task, workflow


@task
def price(amount: int, each: float, currency: str) -> str:
    if amount < 0:
        raise ValueError(f"{amount} is no amount")
    return f"{amount * each} {currency}"


@workflow
def shop(amount: int, each: float = 2.5, currency: str = "EUR") -> str:
    return price(amount=amount, each=each, currency=currency)


sale = LaunchPlan.create("shop.sale", shop, default_inputs={"amount": 2}, fixed_inputs={"each": 0.5})


@task
def join(left: str, right: str) -> str:
    return f"{left}, {right}"


@workflow
def both(amount: int) -> str:
    usual = LaunchPlan.get_or_create(shop, "shop.usual", fixed_inputs={"currency": "USD"})
    return join(left=sale(), right=usual(amount=amount))
