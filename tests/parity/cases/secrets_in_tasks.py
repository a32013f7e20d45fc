"""Secrets: requested ones are read, by name and by a variable; others are refused, missing ones named with both places."""

import hashlib
import os

from flyte_temporal import Secret, current_context, task, workflow


@task(
    secret_requests=[
        Secret(group="db", key="password", env_var="DB_PASSWORD", mount_requirement=Secret.MountType.ENV_VAR)
    ]
)
def digest(salt: str) -> str:
    value = current_context().secrets.get("db", "password")
    assert os.environ["DB_PASSWORD"] == value
    assert value not in repr(current_context())
    return hashlib.sha256(f"{salt}{value}".encode()).hexdigest()[:8]


@task
def greedy() -> str:
    return current_context().secrets.get("db", "password")


@task(secret_requests=[Secret(group="db", key="nowhere", group_version="v2")])
def missing() -> str:
    assert "DB_PASSWORD" not in os.environ
    return current_context().secrets.get("db", "nowhere", "v2")


@workflow
def good(salt: str = "x") -> str:
    return digest(salt=salt)


@workflow
def unrequested() -> str:
    return greedy()


@workflow
def absent() -> str:
    return missing()
