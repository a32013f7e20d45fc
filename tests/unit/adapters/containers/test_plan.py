"""What is asked of podman and docker for one attempt, and what their refusals mean."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flyte_temporal.activities.outcome import without_manifest
from flyte_temporal.adapters.launchers.backstop import Backstop
from flyte_temporal.adapters.launchers.containers.places import Data, Places, Stage
from flyte_temporal.adapters.launchers.containers.plan import (
    Plan,
    Surroundings,
    container_name,
    image_of,
    not_started,
    planned,
    refused,
)
from flyte_temporal.config.settings import ContainerSettings
from flyte_temporal.spec.attempt import AttemptOrder, AttemptPhase, AttemptState, StorageConfig
from flyte_temporal.spec.entities import ContainerSpec, EntryPoint, TaskSpec
from flyte_temporal.spec.execution import Environment, ErrorKind
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.spec.images import filled
from flyte_temporal.spec.policies import Resources, ResourceValues, SecretRequest, TaskPolicy, Timeouts

EXECUTION = ExecutionId(project="p", domain="d", name="My.Run_1")
DATA = Data(Path("/data/in"), Path("/data/out"), Path("/data/log"))


def order(policy: TaskPolicy | None = None, root: str = "file:///store", **more: Any) -> AttemptOrder:
    task = TaskSpec(name="m.t", entry=EntryPoint(module="m", name="t"), policy=policy or TaskPolicy())
    task = task.model_copy(update=more.pop("task", {}))
    return AttemptOrder(
        attempt=AttemptId(execution=EXECUTION, node="n0.n1[12]", number=2, token="abc"),
        task=task,
        storage=StorageConfig(root=root),
        **more,
    )


def plan(
    given: AttemptOrder, *, podman: bool = True, environ: dict[str, str] | None = None, **settings: Any
) -> Plan:
    own = ContainerSettings(image="default:1", **settings)
    return planned(given, "key/order.json", DATA, Surroundings(own, environ or {}, "home", podman))


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_a_name_is_one_attempts_and_fits_everywhere() -> None:
    first = order().attempt
    name = container_name(first)
    assert name.startswith("ft-my-run-1-n0-n1-12-2-")
    assert len(name) <= 100
    others = (first.model_copy(update={"number": 3}), first.model_copy(update={"token": "x"}))
    assert len({name, *map(container_name, others)}) == 3


def test_the_nearest_image_wins() -> None:
    environment = Environment(image="of-run:1")
    assert image_of(order(), "default:1") == "default:1"
    assert image_of(order(environment=environment), "default:1") == "of-run:1"
    assert image_of(order(TaskPolicy(image="own:1"), environment=environment), "default:1") == "own:1"


@pytest.mark.parametrize(
    ("run_s", "of_all_s", "longest"),
    [(90.5, 3600.0, "161"), (0.0, 3600.0, "3670"), (0.0, 0.0, ""), (1e12, 3600.0, "2147483647")],
)
def test_podman_ends_what_nobody_is_left_to_end(run_s: float, of_all_s: float, longest: str) -> None:
    given = order(TaskPolicy(timeouts=Timeouts(run_s=run_s)))
    around = Surroundings(ContainerSettings(image="i"), {}, backstop=Backstop(of_all_s, 10.0))
    words = planned(given, "key", DATA, around).arguments
    assert ("--timeout" in words, longest and value(words, "--timeout")) == (bool(longest), longest)
    assert "--timeout" not in planned(given, "key", DATA, replace(around, podman=False)).arguments


def test_a_local_store_is_seen_by_its_owner_without_a_network() -> None:
    words = plan(order()).arguments
    assert value(words, "--network") == "none"
    assert value(words, "--mount") == "type=bind,source=/store,target=/store"
    assert value(words, "--user") == f"{os.getuid()}:{os.getgid()}"
    assert words[-6:] == ["default:1", "-P", "-m", "flyte_temporal.runtime", "--stored", "key/order.json"]
    assert {"--read-only", "no-new-privileges"} <= set(words)


def test_a_remote_store_needs_a_network_and_credentials_by_name() -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": "s3cret", "OTHER": "x", "_FSEC_DB_KEY": "k", "_FSEC_DBX_KEY": "no"}
    policy = TaskPolicy(secrets=(SecretRequest(group="db", key=""),))
    made = plan(order(policy, "s3://b/p"), environ=environ, environment=("AWS_SECRET_ACCESS_KEY", "MISSING"))
    assert "--network" not in made.arguments
    assert "--mount" not in made.arguments
    assert made.env == {"AWS_SECRET_ACCESS_KEY": "s3cret", "_FSEC_DB_KEY": "k"}
    assert "s3cret" not in " ".join(made.arguments)


def test_a_container_without_our_runtime_gets_the_variables_that_its_secrets_name(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "ca").touch()
    environ = {"_FSEC_DB_PASSWORD": "s3cret", "FLYTE_SECRETS_DEFAULT_DIR": str(tmp_path)}
    asked = (
        SecretRequest(group="db", key="password", env_var="PGPASSWORD"),
        SecretRequest(group="db", key="ca", mount="file", env_var="PGSSLROOTCERT"),
        SecretRequest(group="db", key="none", env_var="NONE"),
    )
    users = {"container": ContainerSpec(image="alpine:3", command=("psql",)), "entry": None}
    made = plan(order(TaskPolicy(secrets=asked), "s3://b/p", task=users), environ=environ)
    assert made.env == {
        "_FSEC_DB_PASSWORD": "s3cret",
        "PGPASSWORD": "s3cret",
        "PGSSLROOTCERT": "/etc/flyte/secrets/db/ca",
    }
    assert "s3cret" not in " ".join(made.arguments)
    assert "PGPASSWORD" in made.arguments
    # Our runtime sets them itself, while the task runs.
    assert "PGPASSWORD" not in plan(order(TaskPolicy(secrets=asked), "s3://b/p"), environ=environ).env


def mounts(made: Plan) -> list[str]:
    words = made.arguments
    return [words[i + 1] for i, word in enumerate(words) if word == "--mount"]


def test_secret_files_come_from_the_workers_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    for name in ("db/password", "db/other", "token"):
        (tmp_path / name).touch()
    requested = (
        SecretRequest(group="DB", key="Password"),
        SecretRequest(group="", key="token"),
        SecretRequest(group="x", key="y"),
    )
    environ = {"FLYTE_SECRETS_DEFAULT_DIR": str(tmp_path)}
    assert mounts(plan(order(TaskPolicy(secrets=requested), "s3://b"), environ=environ)) == [
        f"type=bind,source={tmp_path}/db/password,target=/etc/flyte/secrets/db/password,readonly",
        f"type=bind,source={tmp_path}/token,target=/etc/flyte/secrets/token,readonly",
    ]
    for said, place in (("/mine", "/mine"), ("/mine,source=/root", ""), ("relative", "")):
        policy = TaskPolicy(secrets=requested[1:2], env={"FLYTE_SECRETS_DEFAULT_DIR": said})
        there = [f"type=bind,source={tmp_path}/token,target={place}/token,readonly"] if place else []
        assert mounts(plan(order(policy, "s3://b"), environ=environ)) == there
    # What the task says is no place on this machine.
    policy = TaskPolicy(secrets=requested, env={"FLYTE_SECRETS_DEFAULT_DIR": str(tmp_path)})
    assert mounts(plan(order(policy, "s3://b"))) == []


def test_secrets_have_the_workers_names_here_and_the_usual_ones_in_the_container(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    for name in ("db/p-password", "db/p-user", "db/password", "p-token", "token"):
        (tmp_path / name).touch()
    environ = {
        "FLYTE_SECRETS_DEFAULT_DIR": str(tmp_path),
        "FLYTE_SECRETS_FILE_PREFIX": "p-",
        "FLYTE_SECRETS_ENV_PREFIX": "OURS_",
        "OURS_DB_PASSWORD": "pw",
        "_FSEC_DB_PASSWORD": "another",
        "MINE_DB_PASSWORD": "a third",
    }
    one = (SecretRequest(group="db", key="password"), SecretRequest(group="", key="token"))
    # What the task says of prefixes is no name of this machine.
    said = {"FLYTE_SECRETS_ENV_PREFIX": "MINE_", "FLYTE_SECRETS_FILE_PREFIX": "../"}
    for policy in (TaskPolicy(secrets=one), TaskPolicy(secrets=one, env=said)):
        made = plan(order(policy, "s3://b"), environ=environ)
        assert made.env == {"_FSEC_DB_PASSWORD": "pw"}
        assert mounts(made) == [
            f"type=bind,source={tmp_path}/db/p-password,target=/etc/flyte/secrets/db/password,readonly",
            f"type=bind,source={tmp_path}/p-token,target=/etc/flyte/secrets/token,readonly",
        ]
    made = plan(order(TaskPolicy(secrets=(SecretRequest(group="db", key=""),)), "s3://b"), environ=environ)
    assert made.env == {"_FSEC_DB_PASSWORD": "pw"}
    assert mounts(made) == [
        f"type=bind,source={tmp_path}/db/p-{name},target=/etc/flyte/secrets/db/{name},readonly"
        for name in ("password", "user")
    ]


def test_limits() -> None:
    limits = ResourceValues(mem="1Gi", cpu="250m", ephemeral_storage="1Mi")
    words = plan(
        order(TaskPolicy(resources=Resources(limits=limits, shared_memory="2Mi"))), pids=99
    ).arguments
    assert (value(words, "--memory"), value(words, "--memory-swap")) == (str(1024**3), str(1024**3))
    assert (value(words, "--cpus"), value(words, "--shm-size"), value(words, "--pids-limit")) == (
        "0.25",
        str(2 * 1024**2),
        "99",
    )
    assert value(words, "--tmpfs").endswith("mode=1777,size=1048576")
    bare = plan(order(), memory="512Mi", tmp="").arguments
    assert value(bare, "--memory") == str(512 * 1024**2)
    assert "size=" not in value(bare, "--tmpfs")


def test_a_network_is_given_only_if_it_is_allowed() -> None:
    asked = order(TaskPolicy(annotations={"flyte-temporal/network": "lab"}))
    assert "asks for the network 'lab'" in plan(asked).problem
    assert value(plan(asked, networks=("lab",)).arguments, "--network") == "lab"


def test_images_of_this_machine_are_never_fetched() -> None:
    assert value(plan(order(TaskPolicy(image="localhost/x:1"))).arguments, "--pull") == "never"
    assert value(plan(order()).arguments, "--pull") == "missing"
    assert "Write --image a=URI" in plan(order(TaskPolicy(image="{{.image.a.fqn}}:1"))).problem


def test_no_image_becomes_an_option() -> None:
    """Neither a setting nor a template that is filled in with nothing; documents are checked when they are read."""
    image = filled("{{.image.a.version}}--privileged", {"a": "reg/x"})
    policy = TaskPolicy().model_copy(update={"image": image})
    made = plan(order(policy))
    assert (made.arguments, made.refusal) == ([], "InvalidImageName")
    assert "The task m.t: '--privileged' is not the name of an image" in made.problem
    given = planned(order(), "k", DATA, Surroundings(ContainerSettings(image="Not A Name"), {}, "home"))
    assert (given.arguments, given.refusal) == ([], "InvalidImageName")


def test_a_comma_in_a_path_begins_no_further_field() -> None:
    container = ContainerSpec(image="a", command=("x",), input_dir="/in", output_dir="/out")
    data = Data(Path('/d,source=/etc/"in'), Path("/d/out"), Path("/d/log"))
    around = Surroundings(ContainerSettings(image="i"), {}, "home")
    words = planned(order(task={"container": container, "entry": None}), "k", data, around).arguments
    fields = next(csv.reader([value(words, "--mount")]))
    assert fields == ["type=bind", 'source=/d,source=/etc/"in', "target=/in", "readonly"]


def test_an_image_without_our_runtime() -> None:
    container = ContainerSpec(
        image="alpine:3", command=("sh", "-c", "x"), args=("a",), input_dir="/in", output_dir="/out"
    )
    environment = Environment(env={"A": "1", "FLYTE_SECRETS_ENV_PREFIX": "MINE_"})
    made = plan(order(root="s3://b", environment=environment, task={"container": container, "entry": None}))
    words = made.arguments
    assert words[words.index("--entrypoint") :] == ["--entrypoint", "sh", "alpine:3", "-c", "x", "a"]
    assert mounts(made) == [
        "type=bind,source=/data/in,target=/in,readonly",
        "type=bind,source=/data/out,target=/out",
    ]
    assert value(words, "--network") == "none"
    assert "A=1" in words
    assert not any("MINE_" in word for word in words)
    assert not any("FLYTE_TEMPORAL_STORAGE" in word for word in words)


@pytest.mark.parametrize(
    ("words", "code", "kind", "recoverable"),
    [
        ("Error: x:1: image not known", "BadImage", ErrorKind.USER, False),
        ('Error: short-name "x" did not resolve to an alias', "BadImage", ErrorKind.USER, False),
        ("pull access denied for x, repository does not exist", "BadImage", ErrorKind.USER, False),
        ("Error: invalid reference format", "BadImage", ErrorKind.USER, False),
        ("toomanyrequests: 429 Too Many Requests", "RegistryUnavailable", ErrorKind.SYSTEM, True),
        (
            "initializing source docker://x: dial tcp: i/o timeout",
            "RegistryUnavailable",
            ErrorKind.SYSTEM,
            True,
        ),
        ("Error: no space left on device", "OutputsNotFound", ErrorKind.SYSTEM, True),
    ],
)
def test_refusals(words: str, code: str, kind: ErrorKind, recoverable: bool) -> None:
    error = without_manifest(order(), refused("x:1", words, "podman")).error
    assert error is not None
    assert (error.code, error.kind, error.recoverable) == (code, kind, recoverable)
    assert "x:1" in error.message
    assert words in error.message


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ('runc: exec: "python": executable file not found in $PATH', 127),
        ("crun: executable file `x` not found in $PATH: No such file", 127),
        ('exec: "/x": permission denied', 126),
        ("error setting rlimit type 7: operation not permitted: OCI permission denied", None),
        ("timed out", None),
    ],
)
def test_containers_that_do_not_start(words: str, code: int | None) -> None:
    state = not_started(order(), "x:1", words)
    assert (state.phase, state.exit_code, words in state.message) == (AttemptPhase.EXITED, code, True)


def test_a_kill_near_the_limit_was_for_the_memory() -> None:
    """Podman 4.3 on control groups of version 1 says that it was not."""
    limited = order(TaskPolicy(resources=Resources(limits=ResourceValues(mem="100Mi"))))
    killed = AttemptState(phase=AttemptPhase.EXITED, exit_code=137, peak_rss_bytes=99 * 1024**2)
    error = without_manifest(limited, killed).error
    assert error is not None
    assert (error.kind, error.code) == (ErrorKind.USER, "OutOfMemory")


@pytest.mark.parametrize(
    ("image", "words", "code"),
    [
        ("localhost/task:61d429aa", "Error: localhost/task:61d429aa: image not known", "BadImage"),
        ("x:429", "Error: initializing source docker://x:429: manifest unknown", "BadImage"),
        ("x:429", "Trying to pull docker.io/library/x:429...\nError: x:429: image not known", "BadImage"),
        (
            "x@sha256:0429",
            "Error response: manifest for x@sha256:0429 not found: manifest unknown",
            "BadImage",
        ),
        (
            "x:429",
            'failed to resolve reference "docker.io/library/x:429": 429 Too Many Requests',
            "RegistryUnavailable",
        ),
        ("unauthorized:1", "Error: the storage of unauthorized:1 is full", "OutputsNotFound"),
        (
            "x:1",
            "Error: pinging registry: received status code: 503 Service Unavailable",
            "RegistryUnavailable",
        ),
    ],
)
def test_what_is_said_of_an_image_is_not_looked_for_in_its_name(image: str, words: str, code: str) -> None:
    error = without_manifest(order(), refused(image, words, "podman")).error
    assert error is not None
    assert error.code == code, error.message


def test_a_place_is_held_by_one_and_remembers(tmp_path: Path) -> None:
    places, given = Places(tmp_path / "containers", "podman"), order()
    with places.locked("name", given.attempt, given.storage) as place:
        assert place is not None
        assert place.stage is Stage.NEW
        with places.locked("name", given.attempt, given.storage) as second:
            assert second is None
        assert not places.was_begun("name")
        place.write(Stage.BEGUN)
    assert places.was_begun("name")
    assert places.notes()["name"]["attempt"] == given.attempt.model_dump(mode="json")
    (tmp_path / "containers" / "name.container").write_text('{"stage": "be')
    with places.locked("name", given.attempt, given.storage) as place:
        assert place is not None
        assert place.stage is Stage.NEW
    places.remove("name")
    assert places.notes() == {}
