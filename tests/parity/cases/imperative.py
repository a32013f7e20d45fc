"""Workflows made by calls: inputs with defaults, a loop, a conditional, a sub-workflow, a launch plan, a failure handler."""

from flyte_temporal import FlyteError, ImperativeWorkflow, LaunchPlan, task, workflow


@task
def double(n: int) -> int:
    if n < 0:
        raise ValueError(f"{n} is negative")
    return 2 * n


@task
def joined(words: list[str], n: int) -> str:
    return " ".join([*words, str(n)])


@task
def tidy(n: int, err: FlyteError | None = None) -> None:
    assert err is not None, "a handler gets the error"
    assert f"{n} is negative" in err.message, err


@workflow
def quadruple(n: int) -> int:
    return double(n=double(n=n))


tenfold = LaunchPlan.create("imperative.fixed", quadruple, fixed_inputs={"n": 10})

wf = ImperativeWorkflow("imperative.wf")
value = wf.add_workflow_input("n", int)
word = wf.add_workflow_input("word", str, "is")
for _ in range(3):
    value = wf.add_entity(double, n=value).o0
inner = wf.add_subwf(quadruple, n=value)
other = wf.add_launch_plan(tenfold)
text = wf.add_task(joined, words=["it", word], n=inner.o0)
text.with_overrides(node_name="text")
wf.add_workflow_output("text", text.o0)
wf.add_workflow_output("numbers", [value, other.o0], list[int])

choosing = ImperativeWorkflow("imperative.choosing", docs="Either way.")
number = choosing.add_workflow_input("n", int)
found = (
    choosing.create_conditional("big?")
    .if_(number > 10)
    .then(choosing.add_entity(double, n=number))
    .else_()
    .then(choosing.add_entity(quadruple, n=number))
)
choosing.add_workflow_output("o0", found)

failing = ImperativeWorkflow("imperative.failing")
failing.add_workflow_output("o0", failing.add_entity(double, n=failing.add_workflow_input("n", int)))
failing.add_on_failure_handler(tidy)

empty = ImperativeWorkflow("imperative.empty")


@workflow
def outer(n: int) -> str:
    """An imperative workflow at a node of a function's."""
    return wf(n=n).text
