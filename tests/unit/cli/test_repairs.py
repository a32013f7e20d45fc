"""The words of the commands that repair an execution, and what is shown of one that waits."""

from __future__ import annotations

import pytest

from flyte_temporal.cli.output import Output
from flyte_temporal.cli.place import Place
from flyte_temporal.cli.repairs import Retry, outputs_and_format, repair_document, repair_lines, retry
from flyte_temporal.client.wishes import limited
from flyte_temporal.errors import BadRequest, InvalidInputs
from flyte_temporal.spec.execution import ErrorDocument, ErrorKind, ExecutionPhase
from flyte_temporal.spec.repairs import HeldNode, Pause, RepairState

ERROR = ErrorDocument(kind=ErrorKind.USER, code="UserCodeError", message="boom\nmore")
STATE = RepairState(
    phase=ExecutionPhase.PAUSED,
    pause=Pause(by="ann", reason="disk full"),
    held=(HeldNode(node="n1", name="fit", task="m.fit", attempts=2, error=ERROR),),
    children=("e1.n2",),
)


def test_outputs_and_the_format_share_a_flag() -> None:
    assert outputs_and_format(["o0=a=b", "json", "o1="]) == ({"o0": "a=b", "o1": ""}, "json")
    for given, said in ((["yaml"], "NAME=VALUE"), (["=1"], "NAME=VALUE"), (["a=1", "a=2"], "given twice")):
        with pytest.raises(BadRequest, match=said):
            outputs_and_format(given)


def test_a_retry_names_a_node_or_all() -> None:
    for wish in (Retry(None, False, None, False, {}), Retry("n0", True, None, False, {})):
        with pytest.raises(BadRequest, match="one NODE, or write --all"):
            retry(Output(), Place(), "e1", wish)
    with pytest.raises(BadRequest, match="--with-code"):
        retry(Output(), Place(), "e1", Retry("n0", False, None, True, {}))


def test_what_waits_is_shown_with_commands() -> None:
    lines = repair_lines("e1", STATE, " --domain d")
    assert lines[1] == "  n1 (fit): UserCodeError boom"
    assert lines[-2:] == [
        "Paused by ann: disk full. Go on: flyte-temporal resume e1 --domain d",
        "To be repaired: e1.n2, which it has started.",
    ]
    document = repair_document(STATE)
    assert document["held"][0]["error"]["code"] == "UserCodeError"
    assert document["paused"]["reason"] == "disk full"


def test_resources_are_quantities_of_known_names() -> None:
    found = limited({"memory": "2Gi", "cpu": "500m"})
    assert found is not None
    assert (found.limits.mem, found.requests.cpu) == ("2Gi", "500m")
    assert limited({}) is None
    for given in ({"disk": "1Gi"}, {"memory": "lots"}):
        with pytest.raises(InvalidInputs):
            limited(given)
