"""Tasks and workflows as plain Python: the same results as durably, by the same rules."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flyte_temporal import FlyteFile, create_node, current_context, task, workflow
from flyte_temporal.errors import CompileError, FlyteRecoverableException, InvalidInputs, TypeMismatch
from flyte_temporal.sdk.conversions import OutputInvalid
from flyte_temporal.sdk.frames import user_traceback
from flyte_temporal.sdk.plain import run_plain
from flyte_temporal.spec.paths import MissingAttribute

EVENTS: list[str] = []


@pytest.fixture(autouse=True)
def _no_events() -> Iterator[None]:
    EVENTS.clear()
    yield
    EVENTS.clear()


class Pair(NamedTuple):
    left: int
    right: str


class Single(NamedTuple):
    model: int


@dataclass
class Box:
    numbers: list[int]
    by_name: dict[str, float] = field(default_factory=dict)


@task
def note(what: str) -> None:
    EVENTS.append(what)


@task
def pair(n: int = 1) -> Pair:
    """Make a pair."""
    return Pair(n, "x" * n)


@task
def single() -> Single:
    return Single(4)


@task
def half(x: float) -> float:
    assert isinstance(x, float)
    return x / 2


@task
def box(n: int) -> Box:
    return Box([n, n + 1], {"a": 0.5})


@task
def total(numbers: list[float]) -> float:
    return sum(numbers)


@task
def keys(by: dict[int, list[float]]) -> list[int]:
    return list(by)


@task
def greedy(numbers: list[int]) -> int:
    numbers.append(100)
    return len(numbers)


@task
def when(at: datetime) -> datetime:
    return at


@task
def boom(n: int) -> int:
    raise FlyteRecoverableException(f"no {n}")


@task
def liar() -> int:
    return "x"  # type: ignore[return-value]


@task
async def later(n: int) -> int:
    return n + 1


@task
def whoami() -> str:
    context = current_context()
    context.working_directory.joinpath("file.txt").write_text("mine")
    return f"{context.task_id.name.rpartition('.')[2]} {context.execution_id.name} {context.attempt}"


@task
def started() -> str:
    return current_context().execution_date.isoformat()


@task
def calls_another() -> str:
    return started()


@task
def write_file(text: str) -> FlyteFile:
    path = Path(current_context().working_directory) / "out.txt"
    path.write_text(text)
    return FlyteFile(str(path))


@task
def read_file(file: FlyteFile) -> str:
    return Path(file.download()).read_text()


@task
def write_here(text: str) -> FlyteFile:
    Path("out.txt").write_text(text)
    return FlyteFile("out.txt")


@task
def join(files: list[FlyteFile]) -> str:
    return "".join(Path(file).read_text() for file in files)


@task
def grow(file: FlyteFile) -> FlyteFile:
    with Path(file.download()).open("a") as stream:
        stream.write("+")
    return file


@workflow
def inner(n: int, x: float = 2.0) -> Pair:
    p = pair(n=n)
    half(x)
    return Pair(p.left, p.right)


def test_a_task_is_a_function() -> None:
    assert pair() == Pair(1, "x")
    assert pair(2).right == "xx"
    assert single().model == 4
    assert note(what="a") is None
    assert pair.task_function(3) == Pair(3, "xxx")
    assert pair.__doc__ == "Make a pair."
    assert pair.__name__ == "pair"


def test_values_are_converted_as_between_two_attempts() -> None:
    assert half(3) == 1.5
    assert when(datetime(2026, 1, 1)) == datetime(2026, 1, 1, tzinfo=UTC)  # noqa: DTZ001 - the point


def test_a_task_cannot_change_the_value_that_others_get() -> None:
    mine = [1, 2]
    assert greedy(mine) == 3
    assert mine == [1, 2]

    @workflow
    def twice(numbers: list[int]) -> tuple[int, int]:
        return greedy(numbers), greedy(numbers)

    assert twice([1]) == (2, 2)


def test_a_workflow_is_a_function_with_defaults_and_named_outputs() -> None:
    assert inner(n=2) == Pair(2, "xx")
    assert run_plain(inner, {"n": 3}) == {"left": 3, "right": "xxx"}


def test_values_flow_through_paths_containers_partials_and_sub_workflows() -> None:
    @workflow
    def flow(n: int) -> tuple[float, list[int], str, float]:
        b = box(n)
        added = total([b.numbers[0], b.by_name["a"], half(n)])
        found = keys({1: [b.numbers[1], 2]})
        left, right = inner(n=b.numbers[1])
        scaled = functools.partial(half, x=left)()
        return added, found, right, scaled

    assert flow(n=2) == (3.5, [1], "xxx", 1.5)


def test_orderings_are_obeyed_though_no_value_flows() -> None:
    @workflow
    def ordered() -> None:
        a, b, c = note("a"), note("b"), create_node(note, what="c")
        c >> b
        b.runs_before(a)  # type: ignore[attr-defined]

    ordered()
    assert EVENTS == ["c", "b", "a"]


def test_nodes_run_in_call_order_where_nothing_orders_them() -> None:
    @workflow
    def free() -> None:
        for what in "abc":
            note(what)

    free()
    assert EVENTS == ["a", "b", "c"]


def test_a_single_named_output_is_taken_by_name() -> None:
    @workflow
    def flow() -> int:
        return single().model

    assert flow() == 4


def test_an_async_task_gives_its_result_or_an_awaitable_if_a_loop_runs() -> None:
    result: Any = later(1)
    assert result == 2


async def test_an_async_task_is_awaited_and_a_workflow_runs_it_inside_a_loop() -> None:
    @workflow
    def flow(n: int) -> int:
        return later(later(n))  # type: ignore[arg-type, return-value]

    assert await later(1) == 2
    assert flow(n=1) == 3


def test_each_task_has_a_context_and_a_folder_of_its_own(tmp_path: Path) -> None:
    @workflow
    def flow() -> tuple[str, str]:
        return whoami(), whoami()

    assert run_plain(flow, {}, tmp_path) == {"o0": "whoami plain 1", "o1": "whoami plain 1"}
    assert len(list(tmp_path.glob("whoami-*/file.txt"))) == 2


def test_all_tasks_of_a_run_see_one_date_and_a_task_inside_a_task_writes_below_it(tmp_path: Path) -> None:
    @workflow
    def flow() -> tuple[str, str]:
        return started(), calls_another()

    outputs = run_plain(flow, {}, tmp_path)
    assert outputs["o0"] == outputs["o1"]
    assert len(list(tmp_path.glob("calls_another-*/started-*"))) == 1


def test_files_stay_where_tasks_wrote_them(tmp_path: Path) -> None:
    @workflow
    def flow(text: str) -> tuple[FlyteFile, str]:
        file = write_file(text)
        return file, read_file(file)

    outputs = run_plain(flow, {"text": "hello"}, tmp_path)
    assert outputs["o1"] == "hello"
    assert Path(outputs["o0"].path).is_relative_to(tmp_path)


def test_a_file_is_kept_as_it_was_when_its_task_returned_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    @workflow
    def flow() -> str:
        return join([write_here("1"), write_here("2"), write_here("3")])

    assert flow() == "123"


def test_a_task_that_changes_its_file_changes_only_its_own_copy(tmp_path: Path) -> None:
    @workflow
    def flow(file: FlyteFile) -> tuple[str, str, str]:
        a, b = grow(file), grow(file)
        return read_file(a), read_file(b), read_file(file)

    given = tmp_path / "given.txt"
    given.write_text("mine")
    assert flow(file=FlyteFile(str(given))) == ("mine+", "mine+", "mine")
    assert given.read_text() == "mine"


def test_a_tasks_exception_passes_unchanged_and_nothing_after_it_runs() -> None:
    @workflow
    def flow() -> None:
        n = boom(1)
        n >> create_node(note, what="after")  # type: ignore[operator]

    with pytest.raises(FlyteRecoverableException, match="no 1"):
        flow()
    assert EVENTS == []


def test_what_a_task_returns_must_be_what_it_declares() -> None:
    with pytest.raises(
        OutputInvalid, match="Output 'o0' of liar is not what it declares: expected int, got str 'x'"
    ):
        liar()


def test_a_wrong_argument_is_refused_with_the_line_of_the_call() -> None:
    with pytest.raises(InvalidInputs, match=r"test_plain\.py:\d+: Input 'x' of half\(\): expected float"):
        half("much")  # type: ignore[arg-type]
    with pytest.raises(CompileError, match=r"test_plain\.py:\d+: half\(\) is called without its input x"):
        half()  # type: ignore[call-arg]
    with pytest.raises(CompileError, match=r"half\(\) has no input 'y'"):
        run_plain(half, {"x": 1, "y": 2})


def test_a_plain_run_refuses_what_the_compiler_refuses() -> None:
    @workflow
    def wrong(s: str) -> float:
        note("ran")
        return half(s)  # type: ignore[arg-type]

    with pytest.raises(TypeMismatch, match="does not fit input 'x' of node n1"):
        wrong(s="1")
    assert EVENTS == []


@task
def two() -> list[int]:
    return [1, 2]


@workflow
def seventh() -> int:
    return two()[7]


def test_a_missing_part_is_named_with_both_ends() -> None:
    @workflow
    def deep(numbers: dict[str, int]) -> float:
        return total([1.0, numbers["b"]])

    with pytest.raises(MissingAttribute) as caught:
        seventh()
    assert caught.value.message == (
        f"Output 'o0' of the workflow {__name__}.seventh, from n0.o0: The value has nothing at [7]: it has 2 elements."
    )
    assert user_traceback(caught.value).count("Error") == 0
    with pytest.raises(
        MissingAttribute,
        match=r"^Input 'numbers' of node n0, from input 'numbers': The value has nothing at \['b'\]",
    ):
        deep(numbers={"a": 1})


def test_a_body_that_exits_is_an_error_and_no_exit() -> None:
    @workflow
    def leaves() -> None:
        sys.exit(3)

    with pytest.raises(
        CompileError, match=r"test_plain\.py:\d+: The body of the workflow leaves raised SystemExit: 3"
    ):
        leaves()


def test_outside_of_a_task_there_is_a_context_too(tmp_path: Path) -> None:
    assert current_context().attempt == 1
    assert current_context().working_directory.is_dir()
