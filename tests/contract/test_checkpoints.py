"""Checkpoints on every store: what an attempt saves is what the next one finds, whoever else writes there."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.sdk.checkpoint_files import CheckpointNotSaved
from flyte_temporal.sdk.checkpoints import Checkpoint, CheckpointNotRestorable
from flyte_temporal.sdk.stopping import Stopping
from flyte_temporal.spec import keys
from flyte_temporal.spec.identifiers import AttemptId, ExecutionId
from flyte_temporal.storage.checkpoints import Generations, Place

from .stores import STORES, gcs_port, make_store, s3_port

__all__ = ["gcs_port", "s3_port"]

FIRST, SECOND = (ExecutionId(project="p", domain="d", name=name) for name in ("first", "second"))


class Node:
    """A node of an execution, of which one attempt follows the other."""

    def __init__(
        self, store: BlobStore, folder: Path, execution: ExecutionId = FIRST, node: str = "n0", *sources: str
    ) -> None:
        self.store = store
        self.place = Place(AttemptId(execution=execution, node=node, number=1, token="t"), (), sources)
        self.tokens: list[str] = []
        self._folder = folder

    @property
    def folder(self) -> str:
        return self.place.folder

    def attempt(self, token: str = "", *, known: bool = True) -> Checkpoint:
        """Return the checkpoint of the next attempt; one that is not `known` is unheard of by those that follow."""
        token = token or secrets.token_hex(6)
        number = len(self.tokens) + 1
        attempt = self.place.attempt.model_copy(update={"number": number, "token": token})
        place = Place(attempt, tuple(self.tokens), self.place.sources)
        if known:
            self.tokens.append(token)
        return Checkpoint(
            lambda: Generations(self.store, place),
            self._folder / f"{number}-{token}",
            Stopping(),
            lambda _: None,
        )

    def generations(self) -> list[str]:
        """Return the folders in which there is anything, without tokens."""
        found = {info.key[len(self.folder) + 1 :].split("/")[0] for info in self.store.list(self.folder)}
        return sorted(name[: len("gen-00000000")] for name in found)

    def part(self, number: int) -> str:
        """Return the key of the first part of a generation."""
        start = f"{self.folder}/gen-{number:08d}-"
        return next(
            i.key for i in self.store.list(self.folder) if i.key.startswith(start) and "part-" in i.key
        )


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return make_store(request.param, request, tmp_path)


everywhere = pytest.mark.parametrize("store", STORES, indirect=True)
"""For tests of what each store does in its own way; the others are about what is above it."""


@pytest.fixture
def node(store: BlobStore, tmp_path: Path) -> Node:
    return Node(store, tmp_path / "scratch")


def test_the_first_attempt_finds_nothing(node: Node, tmp_path: Path) -> None:
    first = node.attempt()
    assert (first.read(), first.restore(tmp_path / "x"), first.prev()) == (None, None, None)
    assert not first.exists()
    assert not first.prev_exists()
    assert node.generations() == []


@everywhere
def test_bytes_come_back(node: Node) -> None:
    first = node.attempt()
    saved = first.write(b"one", step=1, tag="v1").wait()
    assert (saved.step, saved.tag, saved.attempt, saved.generation, saved.size) == (1, "v1", 1, 1, 3)
    assert first.last == saved
    second = node.attempt()
    assert second.prev() == saved
    assert second.exists()
    assert second.read() == b"one"


def test_an_attempt_finds_what_was_there_when_it_began(node: Node) -> None:
    """Flytekit's meaning: a save of one's own is for the next attempt."""
    node.attempt().write(b"one")
    second = node.attempt()
    for number in range(5):
        second.write(b"mine %d" % number)
    assert second.read() == b"one"
    assert node.attempt().read() == b"mine 4"


@everywhere
def test_a_folder_comes_back_as_it_was(node: Node, tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "deep" / "er" / "w ä.bin").write_bytes(b"\0" * 1000)
    (source / ".hidden").write_text("h")
    (source / "run.sh").write_text("#!")
    (source / "run.sh").chmod(0o755)
    (source / "latest").symlink_to("deep/er")
    node.attempt().save(source, step=3)
    target = node.attempt().restore(tmp_path / "out")
    assert target == tmp_path / "out"
    found = {p.relative_to(target).as_posix() for p in target.rglob("*")}
    expected = {
        ".hidden",
        "deep",
        "deep/er",
        "deep/er/w ä.bin",
        "empty",
        "run.sh",
        "latest",
        "latest/w ä.bin",
    }
    assert found == expected
    assert (target / "run.sh").stat().st_mode & 0o111
    with pytest.raises(CheckpointNotRestorable, match="found 4 files"):
        node.attempt().read()


def test_a_file_keeps_its_name_and_an_open_one_gets_flytekits(node: Node, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"w")
    node.attempt().save(str(tmp_path / "weights.pt"))
    folder = node.attempt().restore()
    assert folder is not None
    assert [p.name for p in folder.iterdir()] == ["weights.pt"]
    with (tmp_path / "weights.pt").open("rb") as file:
        node.attempt().save(file)
    again = node.attempt().restore()
    assert again is not None
    assert [(p.name, p.read_bytes()) for p in again.iterdir()] == [("_dst_cp", b"w")]


def test_a_folder_that_was_restored_is_the_tasks_own(node: Node, tmp_path: Path) -> None:
    node.attempt().write(b"one")
    second = node.attempt()
    assert second.restore(tmp_path) == tmp_path
    (tmp_path / "_dst_cp").write_bytes(b"changed by the task")
    assert second.restore(str(tmp_path)) == tmp_path
    assert (tmp_path / "_dst_cp").read_bytes() == b"changed by the task"
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointNotRestorable, match="is a file"):
        second.restore(tmp_path / "file")


@everywhere
def test_few_generations_stay(node: Node) -> None:
    first = node.attempt()
    for number in range(1, 6):
        first.write(b"%d" % number)
    assert node.generations() == ["gen-00000004", "gen-00000005"]
    second = node.attempt()
    second.write(b"6")
    assert node.generations() == ["gen-00000004", "gen-00000005", "gen-00000006"]
    second.write(b"7")
    # What it began with stays: it may still be asked for.
    assert node.generations() == ["gen-00000005", "gen-00000006", "gen-00000007"]
    for number in range(8, 11):
        second.write(b"%d" % number)
    assert second.read() == b"5"
    third = node.attempt()
    assert third.read() == b"10"
    third.settle(keep=True)
    assert node.generations() == ["gen-00000010"]
    third.settle(keep=False)
    assert node.generations() == []
    assert list(node.store.list("checkpoints")) == []


@pytest.mark.row(43)
@pytest.mark.parametrize("damage", ["flip", "cut", "part", "COMPLETE", "garbage"])
def test_a_damaged_generation_is_passed_over(
    node: Node, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = node.attempt()
    first.write(b"old")
    first.write(b"new", step=2)
    part = node.part(2)
    complete = f"{part.rpartition('/')[0]}/COMPLETE"
    match damage:
        case "flip":
            node.store.put(part, b"nEw")
        case "cut":
            node.store.put(part, b"n")
        case "part":
            node.store.delete(part)
        case "COMPLETE":
            node.store.delete(complete)
        case _:
            node.store.put(complete, b"{")
    second = node.attempt()
    assert second.read() == b"old"
    assert (damage in {"flip", "cut", "part"}) == ("passed over" in capsys.readouterr().err)
    # It goes on with a number of its own, and what was torn goes.
    second.write(b"three")
    second.write(b"four")
    assert node.attempt().read() == b"four"
    assert damage != "COMPLETE" or "gen-00000002" not in node.generations()


def test_if_nothing_is_whole_the_task_starts_afresh(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.attempt().write(b"only")
    node.store.put(node.part(1), b"onlY")
    assert node.attempt().read() is None
    assert "starts afresh" in capsys.readouterr().err


@pytest.mark.row(43)
def test_another_shape_is_not_restored(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    first = node.attempt()
    first.write(b"one", tag="v1")
    first.write(b"two", tag="v2")
    second = node.attempt()
    assert second.read(tag="v3") is None
    assert "no checkpoint has the tag 'v3'" in capsys.readouterr().err
    assert not second.exists(tag="v3")
    assert second.read(tag="v1") == b"one"
    assert second.read(tag="v2") == b"two"
    assert second.restore(tag="v1") != second.restore(tag="v2")
    found = second.prev(tag="v1")
    assert found is not None
    assert found.tag == "v1"
    assert node.attempt().read() == b"two"


@pytest.mark.row(43, 30)
def test_an_attempt_that_was_given_up_and_lives_on_changes_nothing(node: Node) -> None:
    zombie = node.attempt()
    zombie.write(b"old", step=1)
    second = node.attempt()
    assert second.read() == b"old"
    second.write(b"newer", step=2)
    for step in range(10):
        zombie.write(b"zombie", step=step)
    assert node.attempt().read() == b"newer"
    second.write(b"newest", step=3)
    assert node.attempt().read() == b"newest"


def test_a_later_attempt_begins_with_what_a_given_up_one_replaced_meanwhile(node: Node) -> None:
    zombie = node.attempt()
    zombie.write(b"old")
    second = node.attempt()
    assert second.exists()  # it has looked
    for _ in range(5):
        zombie.write(b"later")
    assert second.read() == b"later"


def test_attempts_that_are_not_of_the_line_are_not_believed(node: Node) -> None:
    """As after a reset of the run in Temporal: attempts of the branch that was left."""
    node.attempt().write(b"ours")
    stranger = node.attempt(known=False)
    for _ in range(4):
        stranger.write(b"theirs")
    last = node.attempt()
    assert last.read() == b"ours"
    last.write(b"ours again")
    assert last.last is not None
    assert last.last.generation == 6  # numbers are above all others


@everywhere
def test_each_node_has_its_own(store: BlobStore, tmp_path: Path) -> None:
    items = [Node(store, tmp_path / str(i), FIRST, f"n0[{i}]") for i in (1, 10)]
    inner = Node(store, tmp_path / "inner", FIRST, "n0")
    items[0].attempt().write(b"item 1")
    inner.attempt().write(b"inner")
    assert items[1].attempt().read() is None
    assert items[0].attempt().read() == b"item 1"
    assert inner.attempt().read() == b"inner"


@everywhere
def test_a_recovering_execution_goes_on_where_the_other_was(store: BlobStore, tmp_path: Path) -> None:
    old = Node(store, tmp_path / "old")
    old.attempt().write(b"a")
    zombie = old.attempt()
    old.attempt().write(b"b", step=7)
    zombie.write(b"of a zombie")
    empty = keys.checkpoints(SECOND.model_copy(update={"name": "between"}), "n0")
    new = Node(store, tmp_path / "new", SECOND, "n0", empty, old.folder)
    first = new.attempt()
    assert first.read() == b"b"
    found = first.prev()
    assert found is not None
    assert (found.execution, found.step, found.attempt) == ("first", 7, 3)
    first.write(b"c")
    first.write(b"d")
    second = new.attempt()
    assert second.read() == b"d"
    second.settle(keep=False)
    assert old.generations()  # what another execution has is not ours to delete
    assert new.generations() == []


def test_saves_beside_the_task(node: Node, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    first = node.attempt()
    savings = []
    for number in range(4):
        (source / "weights").write_text(str(number))
        savings.append(first.save(source, step=number, wait=False))
    (source / "weights").write_text("changed at once")
    assert [saving.wait(60).step for saving in savings] == [0, 1, 2, 3]
    first.write(b"x", wait=False)
    first.wait()
    first.close()
    assert node.attempt().read() == b"x"
    assert list((tmp_path / "scratch").glob("*/saving/*")) == []


def test_what_cannot_be_saved(node: Node, tmp_path: Path) -> None:
    first = node.attempt()
    with pytest.raises(CheckpointNotSaved, match="No such file"):
        first.save(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("/etc/passwd")
    with pytest.raises(CheckpointNotSaved, match="leads out of it"):
        first.save(tmp_path / "folder")
    with pytest.raises(ValueError, match="not int"):
        first.save(3)  # type: ignore[arg-type]
    assert node.generations() == []


class Meddled:
    """A store that does something before each write."""

    def __init__(self, store: BlobStore, before: Callable[[str], None]) -> None:
        self._store = store
        self._before = before

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def put(self, key: str, data: bytes | Path) -> None:
        self._before(key)
        self._store.put(key, data)


def test_a_file_that_changes_while_it_is_saved_is_refused(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_text("one")
    node = Node(store, tmp_path / "scratch")
    node.attempt().save(source)
    node.store = Meddled(store, lambda _: (source.write_text("another"), None)[1])  # type: ignore[assignment]
    source.write_text("two")
    with pytest.raises(CheckpointNotSaved, match="was changed while it was saved"):
        node.attempt().save(source)
    node.store = store
    assert node.attempt().read() == b"one"


@pytest.mark.row(11)
def test_a_store_that_fails_is_asked_again_and_then_told(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_temporal.storage.checkpoints._PAUSE_S", 0.001)
    node = Node(store, tmp_path / "scratch")
    node.attempt().write(b"one", step=1)
    failures = [2]

    def fail(key: str) -> None:
        if failures[0]:
            failures[0] -= 1
            raise StorageError("The disk is full.")

    node.store = Meddled(store, fail)  # type: ignore[assignment]
    second = node.attempt()
    second.write(b"two", step=2)
    failures[0] = 3
    with pytest.raises(StorageError, match="checkpoint of step 3 was not saved: The disk is full"):
        second.write(b"three", step=3)
    assert node.generations() == ["gen-00000001", "gen-00000002"]  # nothing is left of it
    failures[0] = 3
    saving = second.write(b"four", step=4, wait=False)
    with pytest.raises(StorageError, match="step 4"):
        saving.wait()
    with pytest.raises(StorageError, match="step 4"):
        second.wait()
    second.write(b"five")
    assert node.attempt().read() == b"five"


def test_a_store_that_does_not_answer_never_means_an_older_checkpoint(node: Node, tmp_path: Path) -> None:
    first = node.attempt()
    first.write(b"one")
    first.write(b"two")

    class Deaf(Meddled):
        def fetch(self, key: str, target: Path, sha256: str | None = None) -> bool:
            raise StorageError("no answer")

    node.store = Deaf(node.store, lambda _: None)  # type: ignore[assignment]
    with pytest.raises(StorageError, match="no answer"):
        node.attempt().read()
