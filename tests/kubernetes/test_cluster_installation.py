"""The overlay `kind` of deploy/k8s, from nothing to a running worker on a real cluster."""

from __future__ import annotations

import pytest

from tests.kubernetes.installation import NAMESPACE, WORKER, Installation, installed
from tests.kubernetes.kubectl import Kubectl


@pytest.fixture(scope="module")
def installation(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    with installed(kubectl, tmp_path_factory.mktemp("installation")) as made:
        yield made


def test_it_comes_up(installation: Installation) -> None:
    assert len(installation.workers()) == 1
    print(installation.kubectl.run("--namespace", NAMESPACE, "logs", "job/flyte-temporal-prepare"))
    print(installation.kubectl.run("--namespace", NAMESPACE, "logs", WORKER))
