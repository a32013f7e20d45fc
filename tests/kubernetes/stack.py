"""A person's local stack whose tasks run in pods: the command line on a home of its own, two clusters, and a store that both reach."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.e2e.command import Command
from tests.e2e.forking import forked
from tests.kubernetes import images
from tests.kubernetes.bench import DOMAIN, namespace, storage_of
from tests.kubernetes.installation import HOST, KEYS, s3_server
from tests.kubernetes.kubectl import Kubectl

PROJECT = "runs"
NAMESPACE = f"{PROJECT}-{DOMAIN}"
ELSEWHERE = "elsewhere"
"""A project whose pods go to the cluster `second`: here the same API server, another namespace, and watched in parts."""
SECOND = f"second-{ELSEWHERE}"
SHARDS = 4


def cluster(kubectl: Kubectl, port: int, image: str) -> dict[str, Any]:
    """Return what the stack's worker knows of the cluster."""
    return {
        "kubeconfig": str(kubectl.kubeconfig),
        "image": image,
        "image_pull_policy": "IfNotPresent",
        "storage": storage_of(port, HOST).model_dump(),
        "env": KEYS,
        "requests": {"cpu": "20m", "mem": "400Mi", "ephemeral_storage": ""},
        "limits": {"ephemeral_storage": ""},
        "grace_s": 5,
        "spot": {"node_selector": {"kubernetes.io/os": "linux"}},
    }


@contextmanager
def pod_stack(kubectl: Kubectl, folder: Path) -> Iterator[Command]:
    """Have the stack inside of the block; it starts with the first command that needs it."""
    with ExitStack() as stack:
        port = stack.enter_context(s3_server())
        store = storage_of(port)
        whole = os.environ.get("PARITY", "") != ""
        first = cluster(kubectl, port, images.provide(images.PARITY if whole else images.SCIENCE))
        second = {**first, "namespace": "second-{project}", "shards": SHARDS}
        variables = {
            "FLYTE_TEMPORAL_STORAGE__ROOT": store.root,
            "FLYTE_TEMPORAL_STORAGE__ENDPOINT": store.endpoint,
            "FLYTE_TEMPORAL_STORAGE__PATH_STYLE": "true",
            "FLYTE_TEMPORAL_KUBERNETES__CLUSTERS": json.dumps({"default": first, "second": second}),
            "FLYTE_TEMPORAL_DEFAULTS": json.dumps(
                {ELSEWHERE: {"launcher": "kubernetes", "cluster": "second"}}
            ),
            "FLYTE_TEMPORAL_PROJECT": PROJECT,
            "FLYTE_TEMPORAL_DOMAIN": DOMAIN,
            "FLYTE_TEMPORAL_LIMITS__INTERRUPTIBLE_FAILURES": "1",
            **KEYS,
        }
        for name in (NAMESPACE, SECOND):
            stack.enter_context(namespace(kubectl, name))
        # These tests ask much and often; a process of its own for each word would take what the pods need.
        command = stack.enter_context(forked(folder / "h", tuple(variables.items())))
        stack.callback(command, "down", expect=None)
        yield command


def with_variables(command: Command, **variables: str) -> Command:
    """Return the command line with further variables in its environment."""
    return replace(command, variables=(*command.variables, *variables.items()))
