"""The cluster of these tests. Nothing here is collected unless `make test-k8s` names one.

`KUBECONFIG` alone does not do: it may be somebody's production, on which `make test` must never run anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.command import Command
from tests.kubernetes.kubectl import VARIABLE, Kubectl
from tests.kubernetes.stack import pod_stack

collect_ignore_glob = [] if os.environ.get(VARIABLE) else ["test_*.py"]


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    found = Kubectl.find()
    # Without a cluster these tests have failed; they are never skipped.
    found.run("get", "--raw", "/readyz")
    return found


@pytest.fixture(scope="session")
def cli(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command line of a local stack whose tasks run in pods."""
    with pod_stack(kubectl, tmp_path_factory.mktemp("stack")) as command:
        yield command
