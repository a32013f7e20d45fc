"""`Settings`: everything that a worker or a server must know of its surroundings, grouped, each field explained.

Made once by a composition root and passed down. A variable is `FLYTE_TEMPORAL_<GROUP>__<FIELD>`, for example
`FLYTE_TEMPORAL_TEMPORAL__ADDRESS`. Importing this module costs about half a second (pydantic-settings).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from flyte_temporal._version import __version__
from flyte_temporal.config.clusters import ClusterSettings, KubernetesSettings
from flyte_temporal.config.home import PREFIX, home_directory
from flyte_temporal.config.local import Caller, Durability, caller
from flyte_temporal.errors import BadRequest
from flyte_temporal.spec.runs import RunLimits
from flyte_temporal.spec.storage import StorageConfig, check_no_secrets


class Group(BaseModel):
    """A group of settings; an unknown name in it is an error, so that a typing mistake is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TemporalSettings(Group):
    """How to reach Temporal."""

    address: str = "127.0.0.1:7233"
    """Host and port of the frontend. Temporal's own default; the local stack sets the port that it chose."""
    namespace: str = "default"
    """Namespace. `default` exists in every development server."""
    task_queue: str = "flyte-temporal"
    """Task queue of the interpreter and its activities; workers of one installation share it."""
    task_timeout_s: float = Field(default=30.0, ge=1, le=120)
    """How long a worker may take over one step of the interpreter before another worker gets it. Long, because a large
    execution is replayed within it; the local stack uses 5 s, which bounds how long a killed worker goes unnoticed."""
    connect_timeout_s: float = Field(default=30.0, gt=0)
    """How long a starting process waits for the frontend, in seconds: a restarted server needs about 2 s."""
    retention_days: int = Field(default=30, ge=1)
    """How long a namespace that we make keeps runs which are over. Records stay longer: they are in the metadata store."""


def _storage_root() -> str:
    return (home_directory() / "storage").as_uri()


class StorageSettings(Group):
    """The blob store."""

    # What was given may be a secret that stands where none may stand.
    model_config = ConfigDict(hide_input_in_errors=True)

    root: str = Field(default_factory=_storage_root)
    """URI of the root folder (`file:///…`, `s3://bucket/prefix`, `gs://bucket/prefix`). Defaults to `storage` in the home."""
    endpoint: str = ""
    """Address of the service where it is not the cloud's own (`http://minio:9000`)."""
    region: str = ""
    """Region of an S3 bucket; empty = as the environment or the profile says."""
    anonymous: bool = False
    """Requests are not signed, and no credentials are looked for: public buckets, emulators."""
    path_style: bool = False
    """The name of an S3 bucket stands in the path of addresses, not in the host: what most services but AWS need."""
    options: dict[str, JsonValue] = {}
    """Further options for fsspec's file system, as JSON (`{"config_kwargs": {"read_timeout": 60}}`). No secrets: they are
    recorded in orders, so credentials in them are refused."""

    @model_validator(mode="after")
    def _holds_no_secrets(self) -> Self:
        check_no_secrets(self.root, self.endpoint, self.options)
        return self

    def config(self) -> StorageConfig:
        """Return the document that attempts get."""
        return StorageConfig.model_validate(self.model_dump())


class MetadataSettings(Group):
    """The metadata store."""

    url: str = Field(default_factory=lambda: f"sqlite:///{home_directory() / 'metadata.db'}")
    """SQLAlchemy URL: `sqlite:////path/file.db` or `postgresql+psycopg://user@host/database`."""
    durability: Durability = "normal"
    """SQLite's `synchronous`: `normal` never corrupts the file, `full` also keeps the last instants (slower)."""
    busy_timeout_s: float = Field(default=10.0, gt=0)
    """How long a write waits for another process's lock, in seconds; several writers share the file for ms each."""


class WorkerSettings(Group):
    """One worker process."""

    scratch: Path = Field(default_factory=lambda: home_directory() / "attempts")
    """Folder for the working directories of attempts on this machine; also how attempts are adopted by pid."""
    cache: Path = Field(default_factory=lambda: home_directory() / "cache")
    """Folder for unpacked bundles and downloads; may be deleted while nothing runs."""
    pool_size: int = Field(default_factory=lambda: max(2, os.cpu_count() or 1), ge=1)
    """Attempts at work at once in the warm pool. The number of processors, at least 2."""
    pool_max_tasks: int = Field(default=1000, ge=1)
    """Attempts after which a warm process is replaced, against slow leaks in user code."""
    pool_max_rss: int = Field(default=2 * 1024**3, ge=64 * 1024**2)
    """Resident bytes after which an idle warm process is replaced. 2 GiB: libraries yes, hoarded data no."""
    pool_ahead: bool = False
    """Whether a worker prepares the warm pool before the first attempt asks for it: 45 MiB of memory for half a second
    less until it runs. The local stack does."""
    max_activities: int = Field(default=1000, ge=1)
    """Activities at once. They only wait for attempts, so far more than there are processes; twice what a run may have
    pending, because one that continues as new asks for all of them again before the old ones have let go."""
    heartbeat_timeout_s: float = Field(default=30.0, gt=0)
    """Without a heartbeat for so long, an attempt is given to another worker, which adopts it. 30 s suits networks;
    the local stack uses 1.5 s so that a lost worker is noticed at once (a false alarm is harmless)."""
    heartbeats_per_s: float = Field(default=50.0, gt=0)
    """Heartbeats of all attempts together, per second. Cancels arrive with their answers: up to 50 attempts at once
    hear of theirs within a second, more of them later (docs/decisions/0042)."""
    sticky_timeout_s: float = Field(default=10.0, gt=0)
    """How long Temporal keeps a run for the worker that has it cached; 1 s on the local stack."""
    stop_grace_s: float = Field(default=10.0, ge=0)
    """How long an attempt that is to stop has between SIGTERM and SIGKILL, in seconds, to write a checkpoint."""
    keep_checkpoints: bool = True
    """Whether the last checkpoint of a task stays when the task has succeeded; older ones are deleted anyway."""
    graceful_shutdown_s: float = Field(default=10.0, ge=0)
    """How long a stopping worker lets activities finish, in seconds; attempts themselves go on."""
    wedged_s: float = Field(default=60.0, ge=0)
    """After how many seconds a worker ends itself whose event loop does not turn, whose interpreter does not come back,
    or that cannot let go of a run; whoever keeps it starts another. 0 = never. 20 s on the local stack."""
    live_file: Path | None = None
    """File that is touched every second while the worker is well: for a probe that runs `find FILE -mmin -1`."""
    reconcile_s: float = Field(default=30.0, ge=0)
    """How often this worker compares records with Temporal, in seconds; any number of workers may. 0 = never: on the
    local stack, its supervisor does it."""
    deployment: str = Field(default="", max_length=200)
    """Name of the worker deployment, which switches Temporal's Worker Versioning on: see docs/operations/upgrades.md."""
    build: str = Field(default=f"flyte-temporal-{__version__}", min_length=1, max_length=200)
    """Id of this build among those of the deployment; another one for each image that is rolled out."""


class ContainerSettings(Group):
    """Containers on this machine: the launchers `podman` and `docker` (docs/containers.md)."""

    podman: str = "podman"
    """The program of the launcher `podman`: a name to be found in PATH, or a path."""
    docker: str = "docker"
    """The program of the launcher `docker`."""
    runtime: str = ""
    """OCI runtime, such as `runc` or `crun`; empty = the program's own choice."""
    image: str = f"localhost/flyte-temporal-task:{__version__}"
    """Image of tasks that name none, for podman and docker; pods take `image` of their cluster. `make task-image` builds
    the default."""
    size: int = Field(default=0, ge=0)
    """Containers at work at once; further attempts wait. 0 = `worker.pool_size`."""
    memory: str = ""
    """Memory limit of tasks that set none, as a quantity (`2Gi`); empty = none."""
    cpus: str = ""
    """Processor limit of tasks that set none (`500m`); empty = none."""
    pids: int = Field(default=2048, ge=16)
    """Processes and threads that one container may have: far more than libraries start, far fewer than the machine bears."""
    tmp: str = "2Gi"
    """Size of `/tmp`, the one place where a task may write, unless it asks for ephemeral storage. It is in memory."""
    read_only: bool = True
    """Whether containers can write nowhere but to `/tmp`, the blob store and their outputs."""
    network: str = ""
    """Network of containers: `none`, `host`, `bridge` or a name that the program knows. Empty = `none` with a blob store
    in a local folder, else the program's own default, because the store must be reached."""
    networks: tuple[str, ...] = ()
    """Networks that a task may ask for by the annotation `flyte-temporal/network`, as JSON (`["bridge"]`)."""
    userns: str = ""
    """User namespace (`auto`, `keep-id`, …). Empty = the program's own default; see docs/decisions/0050."""
    user: str = ""
    """User of our containers. Empty = the worker's own number with a blob store in a local folder, else the image's."""
    pull: Literal["missing", "never", "always"] = "missing"
    """Whether images are fetched that are not on this machine."""
    environment: tuple[str, ...] = ()
    """Variables of the worker's environment that containers get, as JSON, such as credentials of the blob store."""
    options: tuple[str, ...] = ()
    """Further options of `create`, as JSON (`["--ulimit=host"]`)."""


class LimitSettings(Group):
    """Sizes and numbers beyond which a request is refused, or work is spread out."""

    window: int = Field(default=100, ge=1, le=100)
    """New commands of the interpreter per activation: 50-100 is fastest, more wedges a worker (temporal.md §0.1)."""
    pending: int = Field(default=500, ge=1, le=1900)
    """Activities pending in one run. Beyond 2,000 Temporal refuses the run's tasks for ever."""
    shard: int = Field(default=1_000, ge=0, le=2_000)
    """Largest number of items of a map in one run: a map of more is run in shards, runs of their own. A thousand keeps a
    shard's history far from Temporal's limit, and the tree of a map of 100,000 small enough for its UI. 0: never."""
    system_retries: int = Field(default=3, ge=0)
    """Attempts of a node that the platform may lose before the node fails; users' retries are not touched."""
    interruptible_failures: int = Field(default=2, ge=0)
    """Attempts of an interruptible node that the platform may lose; the next ones run on machines that stay."""
    run_timeout_s: float = Field(default=7 * 24 * 3600.0, gt=0)
    """Longest time of one attempt, in seconds, when its task sets none: one week."""
    lease_s: float = Field(default=30.0, ge=1)
    """With `cache_serialize`: how long after the death of who computes a value another one takes over, at most. It is
    extended every third of this, so much shorter ones end by accident on a loaded machine."""
    inline_bytes: int = Field(default=64 * 1024, ge=256, le=1024**2)
    """Largest value that travels inside messages; larger ones go by reference. Temporal refuses 2 MiB blobs."""
    history_events: int = Field(default=0, ge=0)
    """Events of a run's history from which on it continues as new; 0: when Temporal suggests it, at 4,096."""
    batches: Literal["off", "on", "always"] = "on"
    """Whether short attempts travel together in one activity (docs/batches.md). `off`: one activity per attempt. `always`:
    tasks of which nothing is known are taken to be short, as if declared so: `make chaos` runs the crash tests and the parity
    suite so, and with `off`; `make test` some of them."""
    slots: int = Field(default=0, ge=0)
    """Attempts at work at once in the warm pools of all workers; batches leave none of them without work. 0 = those of
    one worker, `worker.pool_size`."""
    max_nodes: int = Field(default=20_000, ge=1)
    """Nodes of one execution, counted through sub-workflows. Each run of it decodes them in one activation and opens
    them in another, some 0.2 s each for 10,000: far below the two seconds after which Temporal's SDK calls it wedged."""
    max_spec_bytes: int = Field(default=64 * 1024**2, ge=1024)
    """Size of a compiled closure. It travels by reference, but a worker holds it in memory for each run."""
    max_inputs_bytes: int = Field(default=1024**2, ge=1024)
    """Sum of the inputs given inline to one execution: half of what Temporal takes in one message."""


class Settings(BaseSettings):
    """All settings of a worker or server."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    temporal: TemporalSettings = Field(default_factory=TemporalSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    metadata: MetadataSettings = Field(default_factory=MetadataSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    containers: ContainerSettings = Field(default_factory=ContainerSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    kubernetes: KubernetesSettings = Field(default_factory=KubernetesSettings)
    project: str = Caller.project
    """Project of requests that name none."""
    domain: str = Caller.domain
    """Domain of requests that name none."""
    owner: str = Field(default_factory=lambda: caller().user)
    """Who asks when a request does not say."""

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            BadRequest: If a variable does not fit; the message names each of them.
        """
        try:
            return cls()
        except (
            SettingsError
        ) as error:  # what is not JSON where JSON must stand; its cause would repeat the text
            raise BadRequest(f"The environment has settings that do not fit: {error}.") from None
        except ValidationError as error:
            faults = "; ".join(
                f"{PREFIX}{'__'.join(str(part).upper() for part in fault['loc'])}: {fault['msg']}"
                for fault in error.errors()
            )
            raise BadRequest(f"The environment has settings that do not fit. {faults}.") from None

    def clusters(self) -> dict[str, ClusterSettings]:
        """Return the Kubernetes clusters by name.

        Raises:
            BadRequest: If the file that describes them cannot be read, or does not fit.
        """
        try:
            return self.kubernetes.all()
        except (OSError, ValueError, ImportError) as error:
            raise BadRequest(f"{PREFIX}KUBERNETES__FILE={self.kubernetes.file}: {error}") from error

    def run_limits(self) -> RunLimits:
        """Return what the interpreter must know, to be recorded in its input."""
        return RunLimits(
            window=self.limits.window,
            pending=self.limits.pending,
            shard=self.limits.shard,
            history_events=self.limits.history_events,
            system_retries=self.limits.system_retries,
            lease_s=self.limits.lease_s,
            interruptible_failures=self.limits.interruptible_failures,
            heartbeat_timeout_s=self.worker.heartbeat_timeout_s,
            run_timeout_s=self.limits.run_timeout_s,
            inline_bytes=self.limits.inline_bytes,
            batches=self.limits.batches,
            slots=self.limits.slots or self.worker.pool_size,
        )
