"""Tasks that are objects: a kind of task of the author's own, in a class, from a factory, with several outputs."""

from typing import Any

from flyte_temporal import PythonInstanceTask, TaskMetadata, kwtypes, task, workflow


class Polynomial(PythonInstanceTask):
    """Evaluates a polynomial and its derivative."""

    task_type = "polynomial"

    def __init__(self, name: str, factors: list[float], **options: Any) -> None:
        super().__init__(
            name,
            inputs=kwtypes(x=float),
            outputs=kwtypes(y=float, slope=float),
            config={"factors": factors},
            **options,
        )
        self.factors = factors

    def execute(self, *, x: float) -> tuple[float, float]:
        y = sum(factor * x**power for power, factor in enumerate(self.factors))
        return y, sum(power * f * x ** (power - 1) for power, f in enumerate(self.factors) if power)


def parabola(name: str) -> Polynomial:
    return Polynomial(name, [1.0, 0.0, 2.0], metadata=TaskMetadata(retries=1))


square = parabola("parity.polynomials.square")


class Kept:
    cube = Polynomial("parity.polynomials.cube", [0.0, 0.0, 0.0, 1.0])


@task
def total(values: list[float]) -> float:
    return sum(values)


@workflow
def wf(x: float) -> tuple[float, float, float]:
    first = square(x=x)
    second = Kept.cube(x=first.y).with_overrides(node_name="cubed", retries=2)
    return first.slope, second.y, total(values=[first.y, second.slope])
