"""Random programs, by a seed: what they compute is known from plain Python, and each task leaves marks."""

from __future__ import annotations

import random
from pathlib import Path

HEAD = '''"""A random program (tests/faults/dags.py)."""

import os
import time
from pathlib import Path

from flyte_temporal import current_context, dynamic, map_task, task, workflow


def mark(folder: str, name: str) -> None:
    with (Path(folder) / name).open("a") as file:
        file.write(f"{os.getpid()}\\n")


def mixed(name: str, values: list[int]) -> int:
    return (sum(values) * 31 + sum(map(ord, name))) % 1_000_003


@task
def step(folder: str, name: str, pause: float, values: list[int]) -> int:
    mark(folder, f"started-{name}")
    time.sleep(pause)
    return mixed(name, values)


@task(retries=2)
def flaky(folder: str, name: str, pause: float, values: list[int]) -> int:
    """Fail the first time, in an engine."""
    mark(folder, f"started-{name}")
    time.sleep(pause / 2)
    if not (Path(folder) / f"failed-{name}").exists() and os.environ.get("FLYTE_ATTEMPT_NUMBER"):
        mark(folder, f"failed-{name}")
        raise ValueError("the first time")
    return mixed(name, values)


@task(cache=True, cache_version="1", cache_ignore_input_vars=("folder", "pause"))
def remembered(folder: str, name: str, pause: float, values: list[int]) -> int:
    mark(folder, f"started-{name}")
    time.sleep(pause)
    return mixed(name, values)


@task
def saving(folder: str, name: str, pause: float, values: list[int]) -> int:
    """Count in steps, each of which is saved."""
    mark(folder, f"started-{name}")
    kept = current_context().checkpoint
    found = kept.read() if kept is not None else None
    done, total = map(int, found.decode().split()) if found else (0, 0)
    while done < 4:
        time.sleep(pause / 4)
        done, total = done + 1, total * 7 + done
        if kept is not None:
            kept.write(f"{done} {total}".encode())
    return mixed(name, [*values, total])


@task
def item(x: int) -> int:
    time.sleep(0.02)
    return x * 3 + 1


@task
def numbers(count: int, values: list[int]) -> list[int]:
    return [sum(values) + n for n in range(count)]


@task
def large(name: str, values: list[int]) -> list[int]:
    """Give something that travels by reference."""
    return [sum(values) % 1000] * 30_000


@dynamic
def spread(folder: str, name: str, pause: float, count: int, values: list[int]) -> int:
    parts = [step(folder=folder, name=f"{name}-{n}", pause=pause, values=values) for n in range(count)]
    return step(folder=folder, name=f"{name}-end", pause=0.0, values=parts)


@workflow
def inner(folder: str, name: str, value: int) -> int:
    first = step(folder=folder, name=f"inner-a", pause=0.05, values=[value])
    return remembered(folder=folder, name=f"inner-b", pause=0.05, values=[first])


@workflow
def program(folder: str, x: int) -> int:
    v0 = step(folder=folder, name="v0", pause=0.0, values=[x])
'''

KINDS = ("step", "step", "flaky", "remembered", "saving", "spread", "map", "large")


def program(seed: int, nodes: int = 10) -> str:
    """Return the source of a program, whose workflow is `program(folder, x)`."""
    chance = random.Random(seed)
    lines, inner = [], False
    for number in range(1, nodes):
        known = sorted(chance.sample(range(number), min(number, chance.randint(1, 3))))
        values = f"[{', '.join(f'v{n}' for n in known)}]"
        name, pause = f"v{number}", round(chance.uniform(0.0, 0.4), 2)
        given = f'folder=folder, name="{name}", pause={pause}'
        kind = chance.choice(KINDS)
        if not inner and number == nodes // 2:
            inner, kind = True, "inner"
        match kind:
            case "spread":
                lines.append(f"{name} = spread({given}, count={chance.randint(1, 4)}, values={values})")
            case "map":
                lines.append(
                    f"l{number} = map_task(item)(x=numbers(count={chance.randint(1, 12)}, values={values}))"
                )
                lines.append(f"{name} = step({given}, values=l{number})")
            case "large":
                lines.append(f'{name} = step({given}, values=large(name="{name}", values={values}))')
            case "inner":
                lines.append(f'{name} = inner(folder=folder, name="{name}", value=v{known[0]})')
            case _:
                lines.append(f"{name} = {kind}({given}, values={values})")
    everything = ", ".join(f"v{n}" for n in range(nodes))
    lines.append(f'return step(folder=folder, name="end", pause=0.0, values=[{everything}])')
    return HEAD + "".join(f"    {line}\n" for line in lines)


def write_program(folder: Path, seed: int, nodes: int = 10) -> Path:
    """Write a program into a folder of its own; return its file."""
    file = folder / f"src-{seed}" / f"random_{seed}.py"
    file.parent.mkdir(parents=True)
    file.write_text(program(seed, nodes), encoding="utf-8")
    return file
