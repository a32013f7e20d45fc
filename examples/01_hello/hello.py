"""The smallest workflow: one task, one input with a default, one output."""

from flyte_temporal import task, workflow


@task
def say_hello(name: str = "world") -> str:
    """Greet somebody.

    Args:
        name: Whom to greet.
    """
    return f"Hello, {name}!"


@workflow
def hello_wf(name: str = "world") -> str:
    """Greet somebody, durably.

    Args:
        name: Whom to greet.
    """
    return say_hello(name=name)


if __name__ == "__main__":
    print(hello_wf(name="you"))  # called from Python, a workflow is a function
