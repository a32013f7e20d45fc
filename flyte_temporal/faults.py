"""`buggify`: named points in the code at which tests make the process die, fail or wait. Standard library only.

Called from anywhere, also from workflow code; apart from everything because all may import it. Without the variable
`FLYTE_TEMPORAL_FAULTS` a point costs one look into the environment and does nothing. The variable holds a `Plan` as JSON,
and reaches every process of a stack by inheritance. Which passage of a point is hit follows from the plan's seed, which
is printed when it happens, so that a failure can be had again.
"""

from __future__ import annotations

import fnmatch
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

VARIABLE = "FLYTE_TEMPORAL_FAULTS"


class InjectedFault(OSError):
    """What a point raises whose rule says `error`: an `OSError`, as a bad disk or network gives."""


@dataclass(frozen=True)
class Rule:
    """What happens at some points.

    Args:
        point: Names of points, as a pattern: `checkpoint.*`.
        action: `kill` (SIGKILL to this process), `exit` (at once, with code 70), `error` (raise), `sleep`.
        at: At the how manieth passage in a process, counted from 1; 0 = by chance.
        chance: How likely a passage is hit, if `at` is 0.
        times: How often at most; over all processes together if the plan has a folder. 0 = without end.
        seconds: How long to sleep.
    """

    point: str
    action: Literal["kill", "exit", "error", "sleep"] = "kill"
    at: int = 0
    chance: float = 0.0
    times: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The faults of one test run.

    Args:
        rules: What happens where; of several that fit, the first that hits.
        seed: What chance depends on.
        folder: Where hits are noted, so that all processes count together; empty = each counts for itself.
    """

    rules: tuple[Rule, ...]
    seed: int = 0
    folder: str = ""

    def written(self) -> str:
        """Return it as the value of the variable."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Plan:
        """Return the plan that a value of the variable holds.

        Raises:
            ValueError: If it is not one.
        """
        try:
            found = json.loads(text)
            return cls(tuple(Rule(**rule) for rule in found.pop("rules")), **found)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{VARIABLE} does not hold a plan of faults: {error}") from error


_read = lru_cache(maxsize=4)(Plan.read)
_passages: Counter[str] = Counter()
_hits: Counter[int] = Counter()


def buggify(point: str) -> None:
    """Pass a point of the code; nothing happens unless a plan of faults is in the environment.

    Args:
        point: Name of the place, such as `checkpoint.complete`.

    Raises:
        InjectedFault: If the plan says so.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return
    plan = _read(text)
    _passages[point] += 1
    for number, rule in enumerate(plan.rules):
        if fnmatch.fnmatchcase(point, rule.point) and _due(plan, number, point) and _counted(plan, number):
            _hit(plan, rule, point)
            return


def _due(plan: Plan, number: int, point: str) -> bool:
    rule, passage = plan.rules[number], _passages[point]
    if rule.at:
        return passage == rule.at
    # What has been hit is a part of it: a process that was killed is followed by one that gets further.
    chance = random.Random(f"{plan.seed}/{point}/{passage}/{_hit_so_far(plan, number)}").random()  # noqa: S311
    return chance < rule.chance


def _hit_so_far(plan: Plan, number: int) -> int:
    if not plan.folder:
        return _hits[number]
    return sum(1 for _ in Path(plan.folder).glob(f"rule-{number}.*"))


def _counted(plan: Plan, number: int) -> bool:
    """Count a hit, unless the rule has had all its hits."""
    rule = plan.rules[number]
    so_far = _hit_so_far(plan, number)
    if not plan.folder:
        _hits[number] += 1
        return not rule.times or so_far < rule.times
    while not rule.times or so_far < rule.times:
        try:
            os.close(os.open(f"{plan.folder}/rule-{number}.{so_far}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            so_far += 1
        else:
            return True
    return False


def _hit(plan: Plan, rule: Rule, point: str) -> None:
    words = f"{rule.action} at {point} (passage {_passages[point]}, seed {plan.seed}, pid {os.getpid()})"
    sys.stderr.write(f"flyte-temporal: injected fault: {words}\n")
    sys.stderr.flush()
    match rule.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the signal is on its way; nothing after the point may happen
        case "exit":
            os._exit(70)
        case "sleep":
            time.sleep(rule.seconds)
        case "error":
            raise InjectedFault(f"injected fault: {words}")
