"""Some of the parity suite's programs, with each task in a pod: the same specs, the same results.

A few of the shapes; `PARITY=each` runs the first case of each file too, `PARITY=all` all of them, in an image with what they import.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import Queue

import pytest

from flyte_temporal.storage.blobs import open_store
from tests.e2e.command import Command
from tests.e2e.forking import forked
from tests.kubernetes.bench import storage_of
from tests.kubernetes.installation import KEYS
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.stack import NAMESPACE
from tests.parity import case as case_module
from tests.parity.case import Case, cases
from tests.parity.test_parity import runs_durably

CHOSEN = {
    "conditional-8-nested",
    "dynamic-0-wf",
    "failures-0-goes_on",
    "files-0-paths",
    "map_task-6-some_may_fail",
    "node_handlers-0-in_a_sub_workflow",
    "secrets_in_tasks-0-good",
    "shell-0-values",
    "values-0-wf",
}
AT_ONCE = 3


def is_asked_for(case: str) -> bool:
    which = os.environ.get("PARITY", "")
    return case in CHOSEN or which == "all" or (which == "each" and "-0-" in case)


@pytest.mark.timeout(7200 if os.environ.get("PARITY") else 1200)
def test_programs_give_in_pods_what_they_give_anywhere(
    cli: Command, kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_outputs_from(monkeypatch, dict(cli.variables), tmp_path)
    secret = {"apiVersion": "v1", "kind": "Secret", "stringData": {"password": "s3cret "}}
    kubectl.apply(secret | {"metadata": {"name": "db", "namespace": NAMESPACE}})
    stated = [case for case in cases("durable", "kubernetes") if is_asked_for(str(case))]
    assert len(stated) >= len(CHOSEN)
    variables = (*cli.variables, ("FLYTE_TEMPORAL_LAUNCHER", "kubernetes"))
    free: Queue[Command] = Queue()

    def failure(case: Case) -> str:
        folder = tmp_path / str(case)
        folder.mkdir()
        command = free.get()
        try:
            runs_durably(command, folder, case)
        except Exception as error:  # noqa: BLE001 - told with all others
            return f"{case}: {type(error).__name__}: {error}"
        finally:
            free.put(command)
        return ""

    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in range(AT_ONCE):
            free.put(stack.enter_context(forked(cli.home, variables)))
        failures = [found for found in threads.map(failure, stated) if found]
    assert not failures, "\n\n".join(failures)


def read_outputs_from(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: Path) -> None:
    """Have files among outputs be compared that are in the store of a stack."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    store = open_store(storage_of(int(variables["FLYTE_TEMPORAL_STORAGE__ENDPOINT"].rpartition(":")[2])))

    def fetched(uri: str) -> Path:
        key = store.key(uri)
        assert key is not None, uri
        target = folder / key.replace("/", "-")
        assert store.fetch(key, target), uri
        return target

    monkeypatch.setattr(case_module, "local_path", fetched)
