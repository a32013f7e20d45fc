"""The cluster of these tests. Nothing here is collected unless `make test-k8s` names one.

`KUBECONFIG` alone does not do: it may be somebody's production, on which `make test` must never run anything.
"""

from __future__ import annotations

import os

import pytest

from tests.kubernetes.kubectl import VARIABLE, Kubectl

collect_ignore_glob = [] if os.environ.get(VARIABLE) else ["test_*.py"]


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    found = Kubectl.find()
    # Without a cluster these tests have failed; they are never skipped.
    found.run("get", "--raw", "/readyz")
    return found
