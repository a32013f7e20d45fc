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

# aiohttp ends the TLS connection of a call that is cancelled politely, and nobody can wait for that: where the server is slow to
# answer, the event loop of a test is closed before.
POLITE = "ignore:.*(socket.socket|_SelectorTransport.__del__).*:pytest.PytestUnraisableExceptionWarning"

collect_ignore_glob = [] if os.environ.get(VARIABLE) else ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    # Of the whole session: what is left over is found at its end, when no test is at work.
    if os.environ.get(VARIABLE):
        config.addinivalue_line("filterwarnings", POLITE)


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
