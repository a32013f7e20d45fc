"""The stem: zygotes are forks of it, and nothing depends on its life."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from flyte_temporal.adapters.launchers import stems
from flyte_temporal.adapters.launchers.pool import PoolLauncher
from flyte_temporal.adapters.launchers.stems import Stem
from flyte_temporal.spec.attempt import AttemptPhase
from flyte_temporal.spec.literals import Inline
from flyte_temporal.storage import scratch
from flyte_temporal.testing.attempts import AttemptBench
from tests.contract.launching import alive, finish, parent_of
from tests.contract.pools import TIMEOUT_S, eventually, make_bench, pool_of, value

PARENT = "\n@task\ndef parent(path: str) -> int:\n    return os.getppid()\n"


def benches(tmp_path: Path, *texts: str) -> list[AttemptBench]:
    """Return a place to run from for each text; they share the folder of the pool of the first."""
    found = []
    for number, text in enumerate(texts):
        (folder := tmp_path / str(number)).mkdir()
        found.append(make_bench(folder, jobs=text))
    return found


async def zygote_of(launcher: PoolLauncher, bench: AttemptBench) -> int:
    found = await value(launcher, bench, "jobs.parent")
    assert isinstance(found, int)
    return found


async def test_zygotes_of_all_bundles_are_forks_of_one_stem(tmp_path: Path) -> None:
    one, other = benches(tmp_path, PARENT, PARENT + "# changed\n")
    async with pool_of(one, size=2) as launcher:
        first, second = await zygote_of(launcher, one), await zygote_of(launcher, other)
        assert first != second
        assert parent_of(first) == parent_of(second) != os.getpid()
        assert os.getsid(first) == first
        order = one.order("jobs.parent", {"path": ""}, env={"PYTHONHASHSEED": "1"})
        await finish(launcher, order)
        outputs = (one.manifest(order) or pytest.fail("no manifest")).outputs or {}
        third = outputs["o0"]
        assert isinstance(third, Inline)
        assert isinstance(third.value, int)
        assert parent_of(third.value) == os.getpid()


async def test_the_stem_ends_with_the_pool_and_with_its_worker(tmp_path: Path) -> None:
    (bench,) = benches(tmp_path, PARENT)
    async with pool_of(bench) as launcher:
        stem = parent_of(await zygote_of(launcher, bench))
    assert not alive(stem)
    left = Stem()
    try:
        left._control.close()  # as the kernel does when a worker is killed
        left._process.wait(TIMEOUT_S)
        assert left._process.returncode == 0
    finally:
        left._process.kill()


async def test_a_killed_stem_is_replaced_and_its_zygotes_go_on(tmp_path: Path) -> None:
    one, other = benches(tmp_path, PARENT, PARENT + "# changed\n")
    async with pool_of(one, size=2) as launcher:
        zygote = await zygote_of(launcher, one)
        stem = parent_of(zygote)
        os.kill(stem, signal.SIGKILL)
        await eventually(lambda: parent_of(zygote) != stem)
        assert await zygote_of(launcher, one) == zygote
        assert parent_of(await zygote_of(launcher, other)) not in {stem, os.getpid()}
        # Nobody is left who could tell how it ended.
        os.kill(zygote, signal.SIGKILL)
        await eventually(lambda: scratch.start_time(zygote) is None)
        later = [await zygote_of(launcher, one) for _ in range(3)]
        assert later[-1] not in {zygote, 1}


async def test_a_stem_that_hangs_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stems, "_HEEDED_WITHIN_S", 0.1)
    one, other = benches(tmp_path, PARENT, PARENT + "# changed\n")
    async with pool_of(one, size=2, start_timeout_s=5.0) as launcher:
        stem = parent_of(await zygote_of(launcher, one))
        os.kill(stem, signal.SIGSTOP)
        assert parent_of(await zygote_of(launcher, other)) == os.getpid()
        assert not alive(stem)


async def test_a_module_that_hangs_is_killed_and_its_attempts_run(tmp_path: Path) -> None:
    hangs = "ZYGOTE = not os.path.exists(os.environ['SEEN'])\nif ZYGOTE:\n    open(os.environ['SEEN'], 'w').write(str(os.getpid()))\n    time.sleep(1000)\n"
    (bench,) = benches(tmp_path, hangs + PARENT)
    seen = tmp_path / "seen"
    os.environ["SEEN"] = str(seen)
    try:
        async with pool_of(bench, start_timeout_s=5.0) as launcher:
            order = bench.order("jobs.parent", {"path": ""})
            await launcher.start(order)
            state = await launcher.observe(order.attempt, TIMEOUT_S)
            assert (state.phase, state.exit_code) == (AttemptPhase.EXITED, 0)
            assert not alive(int(seen.read_text()))
    finally:
        del os.environ["SEEN"]


async def test_a_stem_that_was_prepared_is_taken(tmp_path: Path) -> None:
    stems.prepare()
    stems.prepare()
    (prepared,) = stems._prepared
    (bench,) = benches(tmp_path, PARENT)
    async with pool_of(bench) as launcher:
        assert parent_of(await zygote_of(launcher, bench)) == prepared._process.pid
    assert stems._prepared == []
