"""What people write about further attempts and about time: `RetryPolicy`, `Backoff`, `OnOom`, `Timeouts`.

Read by `policies`. A module may say once what its plain numbers of `retries` mean (`__retry_on__`), as `flyte-temporal port`
does for files that were written for flytekit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flyte_temporal.errors import FlyteRecoverableException, type_name
from flyte_temporal.sdk.modules import main_module_name
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec import policies as spec
from flyte_temporal.spec.quantities import amount

RETRY_ON = "__retry_on__"
"""Name of a module's variable that says which exceptions its plain `retries=n` are for."""
Seconds = float | timedelta
Exceptions = Sequence[type[BaseException] | str]
Wrong = Callable[[str], Exception]


@dataclass(frozen=True)
class Backoff:
    """Pause before each further attempt: `initial`, then `factor` times the last one, at most `max`.

    Args:
        initial: The first pause, in seconds or as timedelta.
        factor: By what it grows.
        max: The longest.
        jitter: Part by which each varies at random, 0 to 1: 0.1 = by up to a tenth, longer or shorter.
    """

    initial: Seconds = 1.0
    factor: float = 2.0
    max: Seconds = 300.0
    jitter: float = 0.0


@dataclass(frozen=True)
class OnOom:
    """More memory for the attempt after one that ran out of it, for a task that says how much it has.

    What an installation gives a task that says nothing (neither `limits` nor `requests` with `mem`) is not raised.

    Args:
        memory_factor: The memory is multiplied by this.
        max: It is never more than that, as a quantity (`"16Gi"`); empty = any.
    """

    memory_factor: float = 2.0
    max: str = ""


@dataclass(frozen=True)
class RetryPolicy:
    """Further attempts after failures of the task's code; those that the platform loses are made good besides.

    Args:
        count: How many.
        backoff: Pause before each; None = none.
        on: Exceptions that are retried, with those derived from them, as classes or names; empty = all.
        not_on: Exceptions that are never retried, likewise, or codes of errors (`"TimedOut"`).
        on_oom: More memory after an attempt that ran out of it.

    Failures that are no exceptions (a time-out, out of memory, a process that died) are retried whatever `on` says.
    """

    count: int
    backoff: Backoff | None = None
    on: Exceptions = field(default=())
    not_on: Exceptions = field(default=())
    on_oom: OnOom | None = None


@dataclass(frozen=True)
class Timeouts:
    """How long things may take, in seconds or as timedelta; 0 = any time.

    Args:
        run: One attempt, from the start of its process.
        queued: One attempt, until its process starts.
        total: The node: all attempts, and all that is between them.

    A time-out of an attempt is a failure that `retries` are used for; that of the node is final.
    """

    run: Seconds = 0.0
    queued: Seconds = 0.0
    total: Seconds = 0.0


def retry_policy(given: Any, module: Mapping[str, Any], wrong: Wrong) -> spec.RetryPolicy:
    """Return what `retries=` says.

    Args:
        given: What was written.
        module: Variables of the module in which it was.
        wrong: Makes the error for a message.

    Raises:
        CompileError: If it makes no sense.
    """
    if isinstance(given, RetryPolicy):
        return _policy(given, wrong)
    if not _whole(given):
        raise wrong(f"retries={shown(given)} must be a whole number, 0 or more, or a RetryPolicy(...).")
    meant = module.get(RETRY_ON, "all")
    if meant not in {"all", "recoverable"}:
        raise wrong(f'{RETRY_ON} = {shown(meant)} must be "all" or "recoverable".')
    only = (type_name(FlyteRecoverableException),) if meant == "recoverable" and given else ()
    return spec.RetryPolicy(count=given, on=only)


def _policy(given: RetryPolicy, wrong: Wrong) -> spec.RetryPolicy:
    if not _whole(given.count):
        raise wrong(f"RetryPolicy(count={shown(given.count)}) must be a whole number, 0 or more.")
    for name, kind in (("backoff", Backoff), ("on_oom", OnOom)):
        value = getattr(given, name)
        if value is not None and not isinstance(value, kind):
            raise wrong(f"RetryPolicy({name}={shown(value)}) must be {kind.__name__}(...).")
    oom = given.on_oom
    return spec.RetryPolicy(
        count=given.count,
        backoff=spec.Backoff() if given.backoff is None else _backoff(given.backoff, wrong),
        on=_names("on", given.on, wrong),
        not_on=_names("not_on", given.not_on, wrong),
        oom_memory_factor=0.0 if oom is None else _factor(oom, wrong),
        oom_memory_max="" if oom is None else oom.max,
    )


def _whole(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= 0


def _number(written: str, given: Any, wanted: tuple[float, float, str], wrong: Wrong) -> float:
    """Return a number between two bounds; `wanted` ends with what is said of them."""
    least, most, words = wanted
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given <= most:
        raise wrong(f"{written}{shown(given)}) must be a number {words}.")
    return float(given)


def _backoff(given: Backoff, wrong: Wrong) -> spec.Backoff:
    return spec.Backoff(
        initial_s=seconds("Backoff(initial=", given.initial, wrong),
        factor=_number("Backoff(factor=", given.factor, (1, 1000, "from 1 to 1000"), wrong),
        max_s=seconds("Backoff(max=", given.max, wrong),
        jitter=_number("Backoff(jitter=", given.jitter, (0, 1, "from 0 to 1"), wrong),
    )


def _factor(given: OnOom, wrong: Wrong) -> float:
    if given.max and amount(str(given.max)) is None:
        raise wrong(f"OnOom(max={shown(given.max)}) is not a quantity. Write for example '16Gi'.")
    return _number("OnOom(memory_factor=", given.memory_factor, (1, 1000, "from 1 to 1000"), wrong)


def _names(option: str, given: Any, wrong: Wrong) -> tuple[str, ...]:
    if isinstance(given, str | type) or not isinstance(given, Sequence):
        raise wrong(f"RetryPolicy({option}={shown(given)}) must be a list. Write [{_written(given)}].")
    return tuple(_name(option, each, wrong) for each in given)


def _written(given: Any) -> str:
    return given.__name__ if isinstance(given, type) else repr(given) if isinstance(given, str) else "..."


def _name(option: str, given: Any, wrong: Wrong) -> str:
    if isinstance(given, str) and given:
        return given
    if not (isinstance(given, type) and issubclass(given, BaseException)):
        raise wrong(f"RetryPolicy({option}=...): {shown(given)} is no exception class, nor the name of one.")
    if given.__module__ == "__main__" and (module := main_module_name()) is not None:
        # In an attempt the script is imported under its own name.
        return f"{module}.{given.__qualname__}"
    return type_name(given)


def time_outs(given: Any, wrong: Wrong) -> spec.Timeouts:
    """Return what `timeout=` says: a `Timeouts`, or the longest time of one attempt.

    Raises:
        CompileError: If it is neither.
    """
    if not isinstance(given, Timeouts):
        return spec.Timeouts(run_s=seconds("timeout=", given, wrong))
    return spec.Timeouts(
        run_s=seconds("Timeouts(run=", given.run, wrong),
        queued_s=seconds("Timeouts(queued=", given.queued, wrong),
        total_s=seconds("Timeouts(total=", given.total, wrong),
    )


def seconds(written: str, given: Any, wrong: Wrong) -> float:
    """Return a time in seconds.

    Args:
        written: What stands before the value, for the message.
        given: The value.
        wrong: Makes the error for a message.

    Raises:
        CompileError: If it is no time, or a negative one.
    """
    found = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < float("inf"):
        end = ")" if "(" in written else ""
        raise wrong(f"{written}{shown(given)}{end} must be a number of seconds or a timedelta, 0 or more.")
    return float(found)
