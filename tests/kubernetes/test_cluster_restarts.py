"""A worker is killed again and again while many pods come and go."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.api_proxy import api_proxy
from tests.kubernetes.ground import ground, witness
from tests.kubernetes.images import ROOT
from tests.kubernetes.kubectl import Kubectl


@pytest.mark.row(1)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("pods", "kills"), [(30, 4), pytest.param(200, 10, marks=pytest.mark.long)])
def test_every_pod_is_adopted_and_none_is_made_twice(
    kubectl: Kubectl, tmp_path: Path, pods: int, kills: int
) -> None:
    folder = tmp_path / "ground"
    folder.mkdir()
    plan, results = tmp_path / "plan.json", tmp_path / "results.jsonl"
    line = [sys.executable, "-m", "tests.kubernetes.keeper", str(plan), str(results)]
    with ground(kubectl, folder) as place, api_proxy(kubectl.kubeconfig, place.token()) as proxy:
        orders = [place.bench.order("work.add", {"n": number}) for number in range(pods)]
        # As many at once as two cores bear; the others wait for room, as they do on any cluster.
        few = {"cpu": "120m", "mem": "320Mi"}
        cluster = place.settings(proxy.written(tmp_path), requests=few, reap_closed_s=0.0)
        document: dict[str, Any] = {
            "orders": [order.model_dump(mode="json") for order in orders],
            "cluster": cluster.model_dump(mode="json"),
            "storage": place.storage("127.0.0.1").model_dump(mode="json"),
        }
        plan.write_text(json.dumps(document), encoding="utf-8")
        with witness(place) as seen:
            for number in range(kills):
                keeper = subprocess.Popen(line, cwd=ROOT)
                # Each comes further than the one before, by ends that it has seen.
                ends(results, (number + 1) * pods // (kills + 3), keeper)
                seen.interrupt()
                keeper.kill()
                keeper.wait()
            subprocess.run(line, cwd=ROOT, timeout=1200, check=True)
            asyncio.run(place.emptied(120))
            seen.wait(pods)
        assert place.succeeded(*orders[::20])
        made = Counter(call.verb for call in proxy.calls if call.resource == "pods")
    ended = [json.loads(text) for text in results.read_text().splitlines()]
    assert Counter(one["state"]["exit_code"] for one in ended) == {0: len(ended)}
    assert {one["key"] for one in ended} == {order.attempt.key for order in orders}
    print(f"calls about pods: {dict(made)}")


def ends(results: Path, count: int, keeper: subprocess.Popen[bytes], within_s: float = 600) -> None:
    """Wait until so many ends are written down."""
    end = time.monotonic() + within_s
    while not results.exists() or len(results.read_text().splitlines()) < count:
        assert keeper.poll() is None, "the keeper ended by itself"
        assert time.monotonic() < end
        time.sleep(0.05)
