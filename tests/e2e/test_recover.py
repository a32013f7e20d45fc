"""Recovering executions on a real stack, by the command line and by the client: what ran before is not run again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from flyte_temporal.client import Client, RecoverOptions
from flyte_temporal.errors import InvalidInputs
from flyte_temporal.sdk.loader import load_file
from tests.e2e.command import Command, made_of

pytestmark = pytest.mark.slow


def written(notes: Path, file: Path, *changes: tuple[str, str]) -> Path:
    return made_of("recovered.py.txt", file, ("@NOTES@", str(notes)), *changes)


def ran(notes: Path) -> Counter[str]:
    """Return what has run since the last question."""
    file = notes / "ran"
    found = Counter(file.read_text().splitlines()) if file.exists() else Counter()
    file.unlink(missing_ok=True)
    return found


def test_a_training_that_failed_late_goes_on_with_fixed_code(
    cli: Command, tmp_path: Path, notes: Path
) -> None:
    bad = written(notes, tmp_path / "src" / "pipeline.py")
    good = written(notes, tmp_path / "fix" / "fixed.py", ("sum(models) / 0", "sum(models)"))
    cli("run", "--name", "rec-1", bad, "train", expect=1)
    assert ran(notes) == {"load": 1, "fit 3": 1, "fit 7": 1, "evaluate": 1}

    # Without another file, the code is that of then: nothing but the failure is repeated.
    assert cli("recover", "rec-1", "-o", "json", expect=1).document["error"]["code"] == "UserCodeError"
    assert ran(notes) == {"evaluate": 1}

    foretold = cli("recover", "rec-1", "--file", good, "--dry-run")
    assert "Recovers rec-1: 3 of 4 nodes copied, 1 run." in foretold.stderr
    assert "runs: it failed before" in foretold.stderr
    assert foretold.stdout == ""

    done = cli("recover", "rec-1", "--file", good, "--name", "rec-2", "-o", "json").document
    assert (done["id"], done["phase"], done["outputs"]) == ("rec-2", "SUCCEEDED", {"o0": 15.5})
    assert (done["plan"]["copied"], done["plan"]["runs"]) == (3, 1)
    assert ran(notes) == {"evaluate": 1}

    rows = {row["id"]: row for row in cli("get", "nodes", "rec-2", "-o", "json").document}
    assert Counter(row["phase"] for row in rows.values()) == {"RECOVERED": 3, "SUCCEEDED": 1}
    assert rows["n0"]["source"] == "rec-1 n0"
    assert "from rec-1 n0" in cli("get", "nodes", "rec-2").stdout
    assert cli("get", "execution", "rec-2", "-o", "json").document["recovered_from"] == "rec-1"
    same = cli("recover", "rec-1", "--file", good, "--name", "rec-2", "-o", "json").document
    assert same["outputs"] == done["outputs"]
    assert ran(notes) == {}


def test_other_inputs_nodes_by_wish_and_what_is_refused(cli: Command, tmp_path: Path, notes: Path) -> None:
    good = written(notes, tmp_path / "src" / "pipeline.py", ("sum(models) / 0", "sum(models)"))
    cli("run", "--name", "wish-1", good, "train")
    ran(notes)
    done = cli("recover", "wish-1", "--rate", "2", "-o", "json")
    assert done.document["outputs"] == {"o0": 20.0}
    assert ran(notes) == {"fit 3": 1, "evaluate": 1}
    assert "the value of rate has changed" in done.stderr

    again = cli("recover", "wish-1", "--from", "evaluate", "-o", "json")
    assert ran(notes) == {"evaluate": 1}
    assert "it was asked for" in again.stderr

    for words, said in (
        (("--from", "evaluat"), "Did you mean evaluate?"),
        (("--speed", "1"), "has no input --speed"),
        (("--rate", "fast"), "--rate: "),
        (("--file", tmp_path / "nowhere.py"), "There is no file"),
    ):
        refused = cli("recover", "wish-1", *words, expect=2)
        assert said in refused.stderr
    assert "There is no execution 'wish-9'" in cli("recover", "wish-9", expect=2).stderr
    assert ran(notes) == {}


def test_items_inner_nodes_and_children_that_ended_well_are_not_run_again(
    cli: Command, tmp_path: Path, notes: Path
) -> None:
    file = written(notes, tmp_path / "src" / "parts.py")
    (notes / "broken").touch()
    cli("run", "--name", "all-1", file, "everything", expect=1)
    first = ran(notes)
    assert first == Counter(
        ["load", "part 0", "part 1", "part 2", "grows", "inner 0", "inner 1", "inner 2", "early", "late"]
    )
    (notes / "broken").unlink()
    with Client.local(cli.home) as client:
        plan = client.plan_recovery("all-1", options=RecoverOptions(rerun=["load"]))
        assert [n.fate.value for n in plan.nodes if n.id == "n0"] == ["runs"]
        entity = load_file(file).everything
        assert {n.id for n in client.plan_recovery("all-1", entity=entity).nodes} >= {"n1[0]", "n2.n0", "n3"}
        with pytest.raises(InvalidInputs, match="has no input 'm'"):
            client.recover("all-1", inputs={"m": 1})
        after = client.recover("all-1", options=RecoverOptions(execution_id="all-2"))
        assert after.outputs == {"o0": [0, 1, 2], "o1": [0, 1, 2], "o2": 3}
        assert ran(notes) == Counter(["part 2", "inner 2", "late"])
        assert after.record().recovered_from == "all-1"
        child = client.execution("all-2.n3").record()
        assert child.recovered_from == "all-1.n3"
        third = client.recover("all-2")
        assert third.wait().phase.value == "SUCCEEDED"
        nodes = {node.id: node for node in third.nodes()}
    assert ran(notes) == {}
    assert {node.phase.value for node in nodes.values()} == {"RECOVERED"}
    assert nodes["n3"].child == "all-2.n3"
    assert nodes["n1[0]"].source is not None
    assert nodes["n1[0]"].source.execution == "all-1"
