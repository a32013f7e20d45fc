"""`ClusterSettings`: what a worker must know of a Kubernetes cluster on which it runs pods.

Apart from `settings` because there may be several, each under a name of its own, and because most of it is about pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.quantities import amount


class Part(BaseModel):
    """A part of the settings; an unknown name in it is an error, so that a typing mistake is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Amounts(Part):
    """Kubernetes quantities; empty = none."""

    cpu: str = ""
    mem: str = ""
    gpu: str = ""
    ephemeral_storage: str = ""


class Placement(Part):
    """Where pods go."""

    node_selector: dict[str, str] = {}
    """Labels that a node must have."""
    tolerations: tuple[dict[str, JsonValue], ...] = ()
    """Taints that the pods endure, as Kubernetes writes them."""


class ClusterSettings(Part):
    """One cluster."""

    kubeconfig: Path | None = None
    """File that says how to reach it. None: the service account of the worker's own pod, else `KUBECONFIG` or ~/.kube/config."""
    context: str = ""
    """Context in that file; empty = the current one."""
    namespace: str = "{project}-{domain}"
    """Namespace of pods; `{project}` and `{domain}` are replaced. It must exist (deploy/k8s)."""
    cluster_wide: bool = False
    """Whether all namespaces are watched by one connection, which needs a ClusterRole; otherwise by one each, on use."""
    shards: int = Field(default=1, ge=1, le=64)
    """Parts into which pods are divided by their execution; a worker watches those parts only of which it has attempts."""

    image: str = ""
    """Image of tasks that name none, and that `--image` does not give one."""
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    """As of Kubernetes; empty = its own default."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets of the namespace by which images are pulled."""
    python: str = "python"
    """Name of the interpreter in images."""

    storage: StorageConfig | None = None
    """How pods reach the blob store, where that differs from how the worker does: the same objects by another address."""
    env: dict[str, str] = {}
    """Environment variables of all containers that run tasks."""
    secret_env: dict[str, str] = {}
    """Environment variables from Kubernetes secrets, each `name/key`: the blob store's keys, where identity does not do."""

    service_account: str = "default"
    """Service account of pods, where `service_accounts` says nothing."""
    service_accounts: dict[str, tuple[str, ...]] = {}
    """By `project/domain` (or `project/*`, or `*`): the accounts that tasks may ask for. The first one is theirs unless they ask."""
    priority_classes: tuple[str, ...] = ()
    """Priority classes that tasks may ask for."""
    runtime_classes: tuple[str, ...] = ()
    """Runtime classes that tasks may ask for."""
    volume_kinds: tuple[str, ...] = (
        "configMap",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
    """Kinds of volumes that tasks may ask for; never `hostPath`."""
    run_as_user: int = Field(default=65532, ge=1)
    """User and group of the processes, unless a template names others; never root."""

    requests: Amounts = Amounts(cpu="500m", mem="512Mi", ephemeral_storage="1Gi")
    """What a pod asks for whose task says nothing. Of what has a limit and no request, the cluster would reserve the limit.
    What is not written of it is as it is here; `""` = none."""
    limits: Amounts = Amounts(ephemeral_storage="10Gi")
    """Limits of a pod whose task says nothing; memory without one is limited to what it asks for. What is not written of it is
    as it is here; `""` = none."""
    most: Amounts = Amounts()
    """Largest request and limit of one container; a task that wants more is refused."""
    tmp_size: str = "5Gi"
    """Size of the writable /tmp, the only place to which a task can write."""
    gpu_resource: str = "nvidia.com/gpu"
    """Name by which GPUs are asked for."""
    accelerator_label: str = "k8s.amazonaws.com/accelerator"
    """Label of nodes that says which accelerator they have (GKE: `cloud.google.com/gke-accelerator`)."""
    partition_label: str = ""
    """Label of nodes that says how their accelerator is divided (GKE: `cloud.google.com/gke-gpu-partition-size`)."""

    placement: Placement = Placement()
    """Of all pods."""
    spot: Placement = Placement()
    """Besides, of attempts that may run on machines which can be taken away."""
    on_demand: Placement = Placement()
    """Besides, of all others."""
    labels: dict[str, str] = {}
    """Labels of all pods."""
    annotations: dict[str, str] = {}
    """Annotations of all pods."""
    grace_s: int = Field(default=30, ge=1)
    """Seconds that a pod has when the cluster takes it away, to save a checkpoint."""

    creates_per_s: float = Field(default=15.0, gt=0)
    """Pods created per second, by one worker."""
    creates_burst: int = Field(default=30, ge=1)
    """Pods created at once before that rate holds."""
    scheduling_timeout_s: float = Field(default=1800.0, gt=0)
    """How long a pod may find no place before its attempt is lost; it costs none of the user's retries."""
    image_grace_s: float = Field(default=180.0, ge=0)
    """How long an image may fail to be pulled, or a container to be made or a sidecar to start, before the attempt fails."""
    quota_wait_s: float = Field(default=30.0, gt=0)
    """How often a pod is asked for again for which the namespace has no quota left: after this to twice this time."""
    reap_s: float = Field(default=300.0, ge=0)
    """How often this worker looks for pods that nobody needs any more; 0 = never."""
    reap_closed_s: float = Field(default=600.0, ge=0)
    """How long after its attempt a pod may stay that its worker did not remove."""
    owner_ttl_s: float = Field(default=3600.0, ge=0)
    """How long after its end the object stays to which all pods of an execution belong."""

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, written: Any) -> Any:
        """Take what is not written of `requests` and `limits` from their defaults.

        Otherwise, who only writes how much memory pods ask for would have each of them reserve all the disk that it may fill.
        A default request yields to a limit that is written: larger than it, it would raise it.
        """
        if not isinstance(written, Mapping):
            return written
        asked, bounds = written.get("requests", {}), written.get("limits", {})
        if not isinstance(asked, Mapping) or not isinstance(bounds, Mapping):
            return written
        requests, limits = (cls.model_fields[side].default.model_dump() for side in ("requests", "limits"))
        for name in requests.keys() & bounds.keys():
            requests[name] = min(requests[name], bounds[name] or requests[name], key=_size)
        return {**written, "requests": {**requests, **asked}, "limits": {**limits, **bounds}}

    def namespace_of(self, project: str, domain: str) -> str:
        """Return the namespace of a project and domain, as Kubernetes writes names."""
        return (
            self.namespace.format(project=project, domain=domain).lower().replace("_", "-").replace(".", "-")
        )

    def accounts_of(self, project: str, domain: str) -> tuple[str, ...]:
        """Return the service accounts that a project and domain may use; the first is used where none is named."""
        for key in (f"{project}/{domain}", f"{project}/*", "*"):
            if self.service_accounts.get(key):
                return self.service_accounts[key]
        return (self.service_account,)


class KubernetesSettings(Part):
    """Clusters on which pods run, by name. As JSON: `FLYTE_TEMPORAL_KUBERNETES__CLUSTERS={"default": {…}}`."""

    clusters: dict[str, ClusterSettings] = {}
    """The one named `default` is used where nothing else is asked for. None at all: no pods from this worker."""
    file: Path | None = None
    """A file with the clusters as JSON, or as YAML if PyYAML is there; a name that `clusters` has too is taken from there."""

    def all(self) -> dict[str, ClusterSettings]:
        """Return the clusters of both.

        Raises:
            ValueError: If the file does not fit.
            OSError: If it cannot be read.
        """
        if self.file is None:
            return self.clusters
        written = KubernetesSettings(clusters=_read(self.file))
        return {**written.clusters, **self.clusters}


def _size(quantity: object) -> float:
    return amount(str(quantity)) or 0.0


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix in {".yaml", ".yml"}:
        import yaml

        return yaml.safe_load(text)
    import json

    return json.loads(text)
