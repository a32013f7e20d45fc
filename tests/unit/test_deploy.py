"""Files below deploy/ that go together, and what they set; whether Kubernetes takes them, tests/kubernetes asks it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from flyte_temporal.adapters.launchers.kubernetes.amounts import resources
from flyte_temporal.config.clusters import KubernetesSettings
from flyte_temporal.config.settings import Settings
from flyte_temporal.spec.policies import Resources
from flyte_temporal.spec.quantities import amount

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DOCS = DEPLOY.parent / "docs"
KIND = DEPLOY / "k8s" / "overlays" / "kind"
YAML_FILES = sorted(DEPLOY.rglob("*.yaml"))
ENV_FILES = sorted(DEPLOY.rglob("*.env"))


def relative(path: Path) -> str:
    return path.relative_to(DEPLOY).as_posix()


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def variables(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("path", YAML_FILES, ids=relative)
def test_yaml_can_be_read(path: Path) -> None:
    assert list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def refused(names: dict[str, str]) -> list[str]:
    """Return those variables of ours that no setting has."""
    known = {
        f"FLYTE_TEMPORAL_{group}__{field}".upper()
        for group, model in Settings.model_fields.items()
        for field in getattr(model.annotation, "model_fields", ())
    }
    known.add("FLYTE_TEMPORAL_HOME")
    return [name for name in names if name.startswith("FLYTE_TEMPORAL_") and name not in known]


@pytest.mark.parametrize("path", ENV_FILES, ids=relative)
def test_settings_exist(path: Path) -> None:
    assert refused(variables(path)) == []


@pytest.mark.parametrize("path", ENV_FILES, ids=relative)
def test_settings_fit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(path).items():
        monkeypatch.setenv(name, value)
    Settings.load()


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("clusters.yaml")), ids=relative)
def test_clusters_fit(path: Path) -> None:
    documents = yaml.safe_load_all((DEPLOY / "k8s/domain/access.yaml").read_text(encoding="utf-8"))
    account = next(d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount")
    clusters = KubernetesSettings(file=path).all()
    assert list(clusters) == ["default"]
    assert clusters["default"].accounts_of("default", "development")[0] == account


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("clusters.yaml")), ids=relative)
def test_a_pod_does_not_reserve_all_the_disk_that_it_may_fill(path: Path) -> None:
    """Of what has a limit and no request, the API server reserves the limit: ten times fewer pods fit the quota."""
    found = resources(Resources(), {}, KubernetesSettings(file=path).all()["default"])
    reserved, most = (amount(found[side]["ephemeral-storage"]) for side in ("requests", "limits"))
    assert reserved is not None
    assert most is not None
    assert reserved < most


def test_compose_sets_what_exists_and_mounts_what_is_there() -> None:
    services = read("temporal/compose.yaml")["services"]
    for service in services.values():
        assert refused(service.get("environment", {})) == []
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / "temporal" / source).exists(), volume
        for port in service.get("ports", []):
            assert port.startswith("${BIND:-127.0.0.1}:"), "nothing of it asks who calls"


def defaults(texts: dict[str, str]) -> dict[str, str]:
    """Return what compose makes of `${NAME:-default}` where no such variable is set."""
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text) for name, text in texts.items()}


def test_the_overlay_for_kind_finds_what_compose_and_the_page_start() -> None:
    services = read("temporal/compose.yaml")["services"]
    listens = {
        name: {port.rsplit(":", 2)[1] for port in service.get("ports", [])}
        for name, service in services.items()
    }
    told = variables(KIND / "worker.env") | variables(KIND / "secrets.env")
    database = urlsplit(told["FLYTE_TEMPORAL_METADATA__URL"])
    own = defaults(services["postgres"]["environment"])
    assert (database.username, database.password, database.path) == (
        own["POSTGRES_USER"],
        own["POSTGRES_PASSWORD"],
        f"/{own['POSTGRES_DB']}",
    )
    assert {str(database.port)} == listens["postgres"]
    temporal = told["FLYTE_TEMPORAL_TEMPORAL__ADDRESS"]
    assert {temporal.partition(":")[2]} == listens["temporal"]
    store = urlsplit(told["FLYTE_TEMPORAL_STORAGE__ENDPOINT"])
    bucket = urlsplit(told["FLYTE_TEMPORAL_STORAGE__ROOT"]).netloc
    for name in ("kubernetes.md", "operations/kubernetes-cluster.md"):
        page = (DOCS / name).read_text(encoding="utf-8")
        assert f"moto.server --host $HOST --port {store.port} " in page, name
        assert f"--request PUT http://$HOST:{store.port}/{bucket} " in page, name
    # The page writes another gateway in the place of this one.
    assert {database.hostname, temporal.partition(":")[0], store.hostname} == {"172.18.0.1"}


def test_the_page_on_kind_makes_the_images_that_the_overlay_names() -> None:
    overlay, clusters = (
        yaml.safe_load((KIND / f"{name}.yaml").read_text()) for name in ("kustomization", "clusters")
    )
    images = [f"{image['name']}:{image['newTag']}" for image in overlay["images"]] + [
        clusters["default"]["image"]
    ]
    page = (DOCS / "operations" / "kubernetes-cluster.md").read_text(encoding="utf-8")
    made = set(re.findall(r"^docker (?:build .*--tag|tag \S+) (\S+)", page, re.MULTILINE))
    assert set(images) == made
    assert f"kind load docker-image {' '.join(images)}\n" in page


def test_what_the_page_on_kubernetes_says_of_clusters_fits() -> None:
    page = (DOCS / "kubernetes.md").read_text(encoding="utf-8")
    found = re.findall(r"KUBERNETES__CLUSTERS='(\{.*?\})'\n", page, re.DOTALL)
    assert len(found) == 2
    for text in found:
        assert list(KubernetesSettings(clusters=json.loads(text)).all()) == ["default"]


def test_both_ways_to_temporal_have_one_dynamic_configuration_and_one_release() -> None:
    values, compose = read("temporal/values.yaml"), read("temporal/compose.yaml")["services"]
    assert values["server"]["dynamicConfig"] == read("temporal/dynamic-config.yaml")
    tag = values["server"]["image"]["tag"]
    assert compose["temporal"]["image"] == f"temporalio/server:{tag}"
    assert compose["schema"]["image"] == f"temporalio/admin-tools:{tag}"
    assert values["admintools"]["image"]["tag"] == tag


def test_what_asks_whether_a_worker_is_well_looks_at_the_file_that_it_touches() -> None:
    file = variables(DEPLOY / "k8s/base/worker.env")["FLYTE_TEMPORAL_WORKER__LIVE_FILE"]
    container = read("k8s/base/worker.yaml")["spec"]["template"]["spec"]["containers"][0]
    asked = [
        container[f"{kind}Probe"]["exec"]["command"][-1] for kind in ("startup", "readiness", "liveness")
    ]
    assert asked == [f'test -n "$(find {file} -mmin -1)"'] * 3
    compose = read("temporal/compose.yaml")["services"]["worker"]
    assert file == compose["environment"]["FLYTE_TEMPORAL_WORKER__LIVE_FILE"]
    assert file in compose["healthcheck"]["test"][-1]


def test_a_pod_is_given_longer_to_end_than_its_worker_takes() -> None:
    grace = float(variables(DEPLOY / "k8s/base/worker.env")["FLYTE_TEMPORAL_WORKER__GRACEFUL_SHUTDOWN_S"])
    assert (
        read("k8s/base/worker.yaml")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        >= grace + 15
    )


def test_files_that_are_named_exist() -> None:
    """In comments of manifests, and on the pages that say how to use them."""
    pages = [*(DEPLOY.parent / "docs").glob("*.md"), *(DEPLOY.parent / "docs" / "operations").glob("*.md")]
    named = {
        (relative_to_root(path), name.rstrip("./"))
        for path in [*(p for p in DEPLOY.rglob("*") if p.is_file()), *pages]
        for name in re.findall(r"\b(?:deploy|docs)/[\w./-]*\w", path.read_text(encoding="utf-8"))
    }
    made_by_the_reader = "deploy/k8s/overlays/mine"
    assert made_by_the_reader in {name for _, name in named}
    # Decisions are named by their numbers.
    missing = [(by, name) for by, name in named if not list(DEPLOY.parent.glob(f"{name}*"))]
    assert [each for each in missing if each[1] != made_by_the_reader] == []


def relative_to_root(path: Path) -> str:
    return path.relative_to(DEPLOY.parent).as_posix()


def test_the_patch_for_workload_identity_has_something_to_patch() -> None:
    page = (DEPLOY.parent / "docs/operations/production.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    policies = {
        document["metadata"]["name"]: document["spec"]
        for name in ("k8s/base/network.yaml", "k8s/domain/network.yaml")
        for document in yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8"))
    }
    patches = yaml.safe_load(text)
    assert [patch["target"]["name"] for patch in patches] == ["worker", "blob-store"]
    for patch in patches:
        (change,) = yaml.safe_load(patch["patch"])
        assert (change["op"], change["path"]) == ("add", "/spec/egress/-")
        assert policies[patch["target"]["name"]]["egress"]


@pytest.mark.parametrize(
    "path", ["k8s/domain/limits.yaml", "k8s/overlays/kind/default-development/kustomization.yaml"]
)
def test_owners_of_an_hour_fit_the_quota(path: str) -> None:
    """Each execution keeps a ConfigMap for `owner_ttl_s`, whose absence of quota would stop all of them."""
    text = (DEPLOY / path).read_text(encoding="utf-8")
    numbers = {name: int(found) for name, found in re.findall(r"(pods|count/configmaps): \"(\d+)\"", text)}
    assert numbers["count/configmaps"] >= 8 * numbers["pods"]
