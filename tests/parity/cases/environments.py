"""`Environment`: options of many tasks in one place, which a task, and a node, may set anew."""

import os

from flyte_temporal import Environment, workflow

env = Environment(retries=1, environment={"COLOUR": "red", "SIZE": "1"}, cache_version="1", cache=True)
small = env.extend(environment={"SIZE": "0"})


def seen() -> str:
    return f"{os.environ.get('COLOUR', '-')} {os.environ.get('SIZE', '-')} {os.environ.get('MORE', '-')}"


@env.task
def bare() -> str:
    return seen()


@env.task(environment={"MORE": "yes", "COLOUR": "blue"})
def merged() -> str:
    return seen()


@small.task(cache=False, cache_version="")
def extended() -> str:
    return seen()


@env.dynamic
def several(n: int) -> list[str]:
    return [bare() for _ in range(n)]


@env.workflow
def wf(n: int) -> tuple[str, str, str, list[str], str]:
    # A version that somebody gives says nothing of the environment: what others would find in the cache must not be this.
    other = bare().with_overrides(environment={"COLOUR": "green"}, cache=False)
    return bare(), merged(), extended(), several(n=n), other


@workflow
def unknown() -> str:
    @env.task(colour="red")  # type: ignore[call-overload,untyped-decorator]
    def painted() -> str:
        return "red"

    return painted()
