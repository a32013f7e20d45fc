"""What the newest object of a pod says about its attempt; objects as a kubelet writes them."""

from __future__ import annotations

from typing import Any

import pytest

from flyte_temporal.activities.outcome import without_manifest
from flyte_temporal.adapters.launchers.kubernetes.looks import evidence, look, waiting
from flyte_temporal.adapters.launchers.kubernetes.reflector import slim
from flyte_temporal.spec.attempt import AttemptPhase, AttemptState
from tests.unit.adapters.k8s.made import order_of

BEGAN = "2026-11-26T10:00:00Z"


def pod(phase: str = "Running", state: Any = None, **more: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": phase, **more.pop("status", {})}
    if state is not None:
        status["containerStatuses"] = [{"name": "primary", "state": state}, *more.pop("others", [])]
    spec = {"nodeName": "n", "containers": [{"name": "primary"}], **more.pop("spec", {})}
    return {"metadata": {"name": "p", **more.pop("metadata", {})}, "spec": spec, "status": status}


def terminated(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    end = {"exitCode": code, "reason": reason, "startedAt": BEGAN}
    return {"terminated": end | ({"message": message} if message else {})}


def code_of(seen: dict[str, Any], **state: Any) -> tuple[str, bool]:
    """Return the code that an attempt with this pod ends with, and whether it may be tried again."""
    found = look(seen, "primary")
    made = AttemptState(
        phase=AttemptPhase.EXITED,
        exit_code=found.exit_code,
        oom=found.oom,
        message=found.tail,
        ran=found.exit_code is not None,
        pod=evidence(seen, "primary"),
        **state,
    )
    error = without_manifest(order_of(), made).error
    assert error is not None
    return error.code, error.recoverable


def test_at_work() -> None:
    found = look(pod(state={"running": {"startedAt": BEGAN}}), "primary")
    assert (found.over, found.running, found.waiting) == (False, True, None)
    assert found.started_at is not None
    assert found.started_at.year == 2026


def test_a_pod_without_a_word_is_not_over() -> None:
    found = look({"metadata": {"name": "p"}, "spec": {}, "status": {}}, "primary")
    assert (found.over, found.running, found.exit_code) == (False, False, None)


def test_the_primary_decides_not_who_stands_beside_it() -> None:
    beside = [{"name": "beside", "state": {"running": {}}}]
    assert look(pod(state=terminated(0), others=beside), "primary").over
    theirs = [{"name": "beside", "state": terminated(137)}]
    seen = pod("Failed", terminated(0, "Completed"), others=theirs)
    assert evidence(seen, "primary").sidecar_exits == (137,)
    assert code_of(seen) == ("OutputsNotFound", True)


def test_what_stores_outputs_after_the_primary_is_waited_for() -> None:
    spec = {"initContainers": [{"name": "flyte-temporal-after", "restartPolicy": "Always"}]}
    assert not look(pod(state=terminated(0), spec=spec), "primary").over
    assert look(pod("Succeeded", terminated(0), spec=spec), "primary").over


DELETED = {"deletionTimestamp": "2026-11-26T10:01:30Z", "deletionGracePeriodSeconds": 30}
DISRUPTED = {
    "conditions": [
        {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-11-26T10:01:00Z"}
    ]
}


@pytest.mark.row(20)
@pytest.mark.parametrize(
    ("more", "finished", "taken"),
    [
        ({}, "2026-11-26T10:02:00Z", False),
        ({"metadata": DELETED}, "2026-11-26T10:00:59Z", False),
        ({"metadata": DELETED}, "2026-11-26T10:01:00Z", True),
        ({"metadata": DELETED}, "", True),
        ({"status": DISRUPTED}, "2026-11-26T10:00:59Z", False),
        ({"status": DISRUPTED}, "2026-11-26T10:01:02Z", True),
    ],
)
def test_who_ended_after_the_pod_was_to_go_may_not_have_been_done(
    more: dict[str, Any], finished: str, taken: bool
) -> None:
    state = terminated(0, "Completed")
    state["terminated"]["finishedAt"] = finished
    assert look(pod("Succeeded", state, **more), "primary").taken is taken


def test_last_words() -> None:
    lines = "\n".join(f"line {i}" for i in range(50))
    found = look(pod("Failed", terminated(1, message=lines)), "primary")
    assert found.tail.splitlines() == [f"line {i}" for i in range(30, 50)]


ENDS = [
    (pod("Failed", terminated(1)), "ProcessExited", True),
    (pod("Failed", terminated(127)), "BadCommand", False),
    (pod("Failed", terminated(128, "StartError", 'exec: "x": not found')), "BadCommand", False),
    (pod("Failed", terminated(137, "OOMKilled")), "OutOfMemory", True),
    (pod("Failed", terminated(137)), "KilledUnseen", True),
    (pod("Failed", terminated(143), metadata={"deletionTimestamp": BEGAN}), "PodDeletedExternally", True),
    (pod("Failed", terminated(143)), "ProcessDied", True),
    (pod("Failed", status={"reason": "Evicted", "message": "The node was low on memory"}), "Preempted", True),
    (
        pod("Failed", status={"reason": "Evicted", "message": "Usage of EmptyDir volume exceeds the limit"}),
        "DiskLimit",
        True,
    ),
    (pod("Failed", status={"reason": "DeadlineExceeded"}), "TimedOut", True),
    (pod("Failed", status={"reason": "SomethingNew"}), "UnknownPodFailure", True),
    (
        pod(
            "Failed",
            terminated(137),
            status={
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
                ]
            },
        ),
        "Preempted",
        True,
    ),
    (
        pod("Succeeded", terminated(0, "Completed"), status={"reason": "Terminated"}),
        "Preempted",
        True,
    ),
    (
        pod(
            "Failed",
            status={"initContainerStatuses": [{"name": "migrate", "state": terminated(3)}]},
        ),
        "InitFailed",
        True,
    ),
]


@pytest.mark.row(19, 20, 23)
@pytest.mark.parametrize(
    ("seen", "code", "recoverable"), ENDS, ids=[f"{e[1]}-{i}" for i, e in enumerate(ENDS)]
)
def test_ends(seen: dict[str, Any], code: str, recoverable: bool) -> None:
    assert code_of(seen) == (code, recoverable)


@pytest.mark.parametrize("name", ["migrate", "flyte-temporal-before"])
def test_what_ran_before_and_failed_tells_why(name: str) -> None:
    """Its pod is removed soon, and its log with it."""
    said = "\n".join(f"line {n}" for n in range(100)) + "\nno such table: users\n"
    init = {"name": name, "state": terminated(3, message=said)}
    seen = slim(pod("Failed", status={"initContainerStatuses": [init]}))
    made = AttemptState(phase=AttemptPhase.EXITED, ran=False, pod=evidence(seen, "primary"))
    error = without_manifest(order_of(), made).error
    assert error is not None
    assert error.code == "InitFailed"
    assert f"{name}: exit code 3: line 81" in error.message
    assert "no such table: users" in error.message


def test_a_sidecar_that_was_ended_is_no_failed_init() -> None:
    spec = {"initContainers": [{"name": "beside", "restartPolicy": "Always"}, {"name": "first"}]}
    status = {"initContainerStatuses": [{"name": "beside", "state": terminated(143)}]}
    assert evidence(pod("Failed", terminated(1), spec=spec, status=status), "primary").init is None


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}


def test_what_it_waits_for() -> None:
    assert waiting(pod("Pending", spec={"nodeName": ""})) is None
    place = waiting(pod("Pending", status={"conditions": [UNSCHEDULABLE]}))
    assert place is not None
    assert place.text == "no place in the cluster (Unschedulable): 0/3 nodes"
    image = waiting(pod("Pending", {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}))
    backing_off = waiting(
        pod("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    )
    assert image is not None
    assert backing_off is not None
    assert image.text == "ErrImagePull: no such image"
    # They take turns; the clock of the wait must not begin anew with each.
    assert image.family == backing_off.family == "image"
    created = waiting(pod("Pending"))
    assert created is not None
    assert created.reason == "ContainerCreating"


NEXT = {"waiting": {"reason": "PodInitializing"}}


def test_before_its_first_container_has_begun_a_pod_is_being_made() -> None:
    def reason(first: dict[str, Any]) -> str:
        found = waiting(
            pod("Pending", NEXT, status={"initContainerStatuses": [{"name": "i", "state": first}]})
        )
        assert found is not None
        return found.reason

    # So the kubelet writes it while a volume is missing, too.
    assert reason(NEXT) == "ContainerCreating"
    assert reason({"running": {"startedAt": BEGAN}}) == "PodInitializing"
    assert reason(terminated(0)) == "PodInitializing"


@pytest.mark.parametrize(
    "state",
    [
        {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}},
        {"running": {"startedAt": BEGAN}},
        terminated(1),
    ],
)
def test_a_sidecar_that_never_gets_ready_is_one_wait(state: dict[str, Any]) -> None:
    def found(**more: Any) -> str:
        first = {"name": "proxy", "state": state, "restartCount": 3, "started": False, **more}
        spec = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}
        # As a worker keeps it.
        seen = slim(pod("Pending", NEXT, spec=spec, status={"initContainerStatuses": [first]}))
        why = waiting(seen)
        assert why is not None
        return why.text

    assert found() == "CrashLoopBackOff: proxy has ended 3 times"
    if "running" in state:
        assert found(started=True) == found(restartCount=0) == "its first containers run"
