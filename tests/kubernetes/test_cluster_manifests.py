"""What is in deploy/k8s is taken by a real API server, as it is and under its admission, and says what it should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flyte_temporal.config.clusters import ClusterSettings
from flyte_temporal.spec.quantities import amount
from tests.kubernetes.kubectl import Kubectl

OVERLAYS = Path(__file__).resolve().parents[2] / "deploy" / "k8s" / "overlays"
NAMES = ["kind", "production"]

Manifest = dict[str, Any]


def rendered(kubectl: Kubectl, overlay: str) -> list[Manifest]:
    text = kubectl.run("kustomize", str(OVERLAYS / overlay))
    return [document for document in yaml.safe_load_all(text) if document]


def of(manifests: list[Manifest], kind: str, name: str = "") -> list[Manifest]:
    return [m for m in manifests if m["kind"] == kind and name in {"", m["metadata"]["name"]}]


@pytest.mark.parametrize("overlay", NAMES)
def test_the_api_server_takes_every_object(kubectl: Kubectl, overlay: str) -> None:
    manifests = rendered(kubectl, overlay)
    # A dry run in a namespace needs the namespace; those of the installation under test are there already.
    made = [ns for ns in of(manifests, "Namespace") if not there(kubectl, ns["metadata"]["name"])]
    try:
        kubectl.apply(*made)
        said = kubectl.said(
            "apply", "--dry-run=server", "--validate=strict", "--kustomize", str(OVERLAYS / overlay)
        )
        # Pods that are not restricted enough are only warned of when a Deployment or Job is made.
        assert "Warning" not in said.stderr, said.stderr
        assert len(said.stdout.splitlines()) == len(manifests)
    finally:
        for namespace in made:
            kubectl.run("delete", "namespace", namespace["metadata"]["name"])


def there(kubectl: Kubectl, namespace: str) -> bool:
    return bool(kubectl.run("get", "namespace", namespace, "--ignore-not-found", "--output=name"))


def test_a_mistake_would_be_seen(kubectl: Kubectl) -> None:
    deployment = of(rendered(kubectl, "kind"), "Deployment")[0]
    deployment["metadata"]["namespace"] = "default"
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 3
    said = kubectl.run(
        "apply", "--dry-run=server", "--validate=strict", "-f-", given=yaml.safe_dump(deployment), fails=True
    )
    assert "terminationGracePeriod" in said


@pytest.mark.parametrize("overlay", NAMES)
def test_each_project_and_domain_has_all_its_rules(kubectl: Kubectl, overlay: str) -> None:
    manifests = rendered(kubectl, overlay)
    domains = [
        ns["metadata"]["name"]
        for ns in of(manifests, "Namespace")
        if ns["metadata"]["name"] != "flyte-temporal"
    ]
    assert domains
    for namespace in domains:
        own = {
            (m["kind"], m["metadata"]["name"])
            for m in manifests
            if m["metadata"].get("namespace") == namespace
        }
        assert own == {
            ("ServiceAccount", "flyte-temporal-task"),
            ("Role", "flyte-temporal-launcher"),
            ("RoleBinding", "flyte-temporal-launcher"),
            ("ResourceQuota", "flyte-temporal"),
            ("LimitRange", "flyte-temporal"),
            ("NetworkPolicy", "default-deny"),
            ("NetworkPolicy", "dns"),
            ("NetworkPolicy", "blob-store"),
        }
    for binding in of(manifests, "RoleBinding"):
        subject = {"kind": "ServiceAccount", "name": "flyte-temporal-worker", "namespace": "flyte-temporal"}
        assert binding["subjects"] == [subject]


@pytest.mark.parametrize("overlay", NAMES)
def test_pods_must_be_restricted_everywhere_and_nothing_gets_a_token_unasked(
    kubectl: Kubectl, overlay: str
) -> None:
    manifests = rendered(kubectl, overlay)
    for namespace in of(manifests, "Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for account in of(manifests, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize("overlay", NAMES)
def test_policies_deny_all_that_they_do_not_name(kubectl: Kubectl, overlay: str) -> None:
    manifests = rendered(kubectl, overlay)
    namespaces = {ns["metadata"]["name"] for ns in of(manifests, "Namespace")}
    denied = {p["metadata"]["namespace"] for p in of(manifests, "NetworkPolicy", "default-deny")}
    assert denied == namespaces
    for policy in of(manifests, "NetworkPolicy"):
        assert not policy["spec"].get("ingress"), "nobody calls a worker or a task"
    store = of(rendered(kubectl, "production"), "NetworkPolicy", "blob-store")[0]["spec"]["egress"][0]
    assert "169.254.0.0/16" in store["to"][0]["ipBlock"]["except"], "the node's identity is for nobody"


@pytest.mark.parametrize("overlay", NAMES)
def test_pods_are_given_what_is_there(kubectl: Kubectl, overlay: str) -> None:
    """The names of generated objects have a digest of their content, so that another content rolls the workers."""
    manifests = rendered(kubectl, overlay)
    maps = {m["metadata"]["name"] for m in of(manifests, "ConfigMap")}
    for owner in [*of(manifests, "Deployment"), *of(manifests, "Job")]:
        pod = owner["spec"]["template"]["spec"]
        used = {
            source["configMapRef"]["name"]
            for source in pod["containers"][0]["envFrom"]
            if "configMapRef" in source
        }
        used |= {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
        assert used == maps
        assert not pod["containers"][0]["image"].endswith(":set-me")


@pytest.mark.parametrize("overlay", NAMES)
def test_a_task_that_says_nothing_has_room_for_more_than_its_imports(kubectl: Kubectl, overlay: str) -> None:
    (told,) = [m for m in of(rendered(kubectl, overlay), "ConfigMap") if "clusters.yaml" in m["data"]]
    for settings in yaml.safe_load(told["data"]["clusters.yaml"]).values():
        cluster = ClusterSettings.model_validate(settings)
        # Without a limit of its own this is the limit too. With the client of S3 a task begins with 120 MB.
        assert (amount(cluster.requests.mem) or 0) >= 320 << 20
