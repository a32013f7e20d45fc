"""`current_context().checkpoint`: what a task saves while it runs, and finds again in its next attempt.

The names and meanings are flytekit's; beyond them a save has a step, may go on beside the task, and is torn by nothing
(`storage.checkpoints` has the protocol). Made by the runtime for an attempt, by `context` for a plain call.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING

from flyte_temporal.errors import CorruptBlob, StorageError, UserCodeError
from flyte_temporal.sdk.checkpoint_files import Contents, copied
from flyte_temporal.sdk.stopping import StopHook, Stopping
from flyte_temporal.spec.checkpoints import SavedCheckpoint
from flyte_temporal.spec.document import sha256_hex

if TYPE_CHECKING:
    from flyte_temporal.storage.checkpoints import Generations, Saved


class CheckpointNotRestorable(UserCodeError):
    """A checkpoint cannot be given the way it was asked for: it is not one file, or the place is no folder."""

    code = "CheckpointNotRestorable"


class Saving:
    """A save: done, or under way if it was asked not to wait."""

    def __init__(self, future: Future[SavedCheckpoint]) -> None:
        self._future = future

    @property
    def done(self) -> bool:
        """Whether it has ended, well or badly."""
        return self._future.done()

    def wait(self, timeout_s: float | None = None) -> SavedCheckpoint:
        """Wait until the checkpoint is there for good, and return what is known of it.

        Raises:
            StorageError: If the store did not take it.
            TimeoutError: If it takes longer; it goes on.
        """
        return self._future.result(timeout_s)


class Checkpoint:
    """The checkpoints of a task: its own saves, and what the attempts before it left.

    `restore`, `read`, `prev` and `exists` are about what was there when the attempt began, whatever it saves itself.

    Args:
        generations: Opens the store; called on first use.
        scratch: A folder for copies; made on first use.
        stop: How the task hears that it is to stop.
        note: Told of each save.
    """

    def __init__(
        self,
        generations: Callable[[], Generations],
        scratch: Path,
        stop: Stopping,
        note: Callable[[SavedCheckpoint], None],
    ) -> None:
        self._open = generations
        self.scratch = scratch
        self._stop = stop
        self._note = note
        self._lock = threading.RLock()
        self._generations: Generations | None = None
        self._before: list[Saved] | None = None
        self._restored: dict[tuple[Path, str | None], Saved] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: list[Future[SavedCheckpoint]] = []
        self.last: SavedCheckpoint | None = None
        """The last checkpoint that this attempt saved."""

    # ---- what was there --------------------------------------------------------

    def exists(self, tag: str | None = None) -> bool:
        """Return whether an earlier attempt left a checkpoint; `tag` as in `restore`."""
        return self.prev(tag) is not None

    def prev_exists(self) -> bool:
        """Return whether an earlier attempt left a checkpoint; flytekit's name of `exists`."""
        return self.exists()

    def prev(self, tag: str | None = None) -> SavedCheckpoint | None:
        """Return what is known of the checkpoint that `restore` and `read` give, or None; `tag` as in `restore`.

        It is another execution's if this one recovers it and has not saved anything itself.

        Raises:
            StorageError: If the store did not answer.
        """
        with self._stop.put_off(), self._lock:
            for saved in reversed(self._restored.values()):
                if _fits(saved, tag):
                    return saved.generation.summary
            for saved in self._candidates():
                if _fits(saved, tag) and self._store().is_whole(saved):
                    return saved.generation.summary
            return None

    def restore(self, path: str | os.PathLike[str] | None = None, tag: str | None = None) -> Path | None:
        """Copy the newest whole checkpoint of the earlier attempts into a folder and return it; None if there is none.

        A second call with the same folder copies nothing: the folder is the task's by then. If the newest one is damaged,
        the one before is taken, with a warning in the log.

        Args:
            path: The folder, made if it is missing; one of the attempt's own if it is not given.
            tag: Take only what was saved with this `tag`: another shape cannot be read any more.

        Raises:
            CheckpointNotRestorable: If the place is a file.
            StorageError: If the store did not answer: an older checkpoint is never taken for that reason.
        """
        # One folder for each tag: what has another one must not be mixed in.
        own = "prev_cp" if tag is None else f"prev_cp-{sha256_hex(tag.encode())[:12]}"
        target = Path(path) if path is not None else self.scratch / own
        if target.exists() and not target.is_dir():
            raise CheckpointNotRestorable(
                f"A checkpoint can be restored to a directory only, and {target} is a file. Give a folder."
            )
        with self._stop.put_off(), self._lock:
            key = target.absolute(), tag
            if key in self._restored:
                return target
            saved = self._fetched(target, tag)
            if saved is None:
                return None
            self._restored[key] = saved
            return target

    def read(self, tag: str | None = None) -> bytes | None:
        """Return the bytes of the newest whole checkpoint, if it is a single file; None if there is none.

        Args:
            tag: As in `restore`.

        Raises:
            CheckpointNotRestorable: If several files were saved; `restore` gives them.
            StorageError: If the store did not answer.
        """
        folder = self.restore(tag=tag)
        files = [each for each in folder.rglob("*") if each.is_file()] if folder is not None else []
        if len(files) > 1:
            raise CheckpointNotRestorable(
                f"Expected exactly one checkpoint, found {len(files)} files. Get them with restore(folder)."
            )
        return files[0].read_bytes() if files else None

    # ---- saving ----------------------------------------------------------------

    def save(
        self,
        cp: str | os.PathLike[str] | IO[bytes] | IO[str],
        *,
        step: int | None = None,
        tag: str = "",
        wait: bool = True,
    ) -> Saving:
        """Save a file, a folder, or what an open file holds. It replaces what was saved before, as a whole.

        When it returns, the checkpoint is there for good, whatever dies then.

        Args:
            cp: What to save.
            step: How far the task is; shown to people (`get nodes -o json`) and in `prev().step`.
            tag: A word of your own for the shape of what you save, for `restore(tag=…)`: change it with the shape.
            wait: Without, it is copied on this disk now and sent beside the task; see `Saving.wait` and `wait`.

        Raises:
            CheckpointNotSaved: If there is nothing there, or it changed meanwhile.
            StorageError: If the store did not take it after some tries; what was saved before is still there.
        """
        if isinstance(cp, str | os.PathLike):
            return self._save(Path(cp), step, tag, wait=wait)
        if not hasattr(cp, "read"):
            raise ValueError(
                f"Only a path or an open file can be saved as a checkpoint, not {type(cp).__name__}. Bytes: write(...)."
            )
        data = cp.read()
        return self.write(data.encode() if isinstance(data, str) else data, step=step, tag=tag, wait=wait)

    def write(self, b: bytes, *, step: int | None = None, tag: str = "", wait: bool = True) -> Saving:
        """Save bytes, which `read` gives to the next attempt; see `save`."""
        return self._save(bytes(b), step, tag, wait=wait)

    def wait(self) -> None:
        """Wait for all saves that are under way.

        Raises:
            StorageError: If the newest of them failed; what was saved before is still there.
        """
        if (newest := self._waited_for()) is not None:
            newest.result()

    def on_stop(self, callback: Callable[[], object]) -> StopHook:
        """Have something called, such as a last save, when the attempt is stopped: abort, time-out, `down`, preemption.

        It is called in the main thread between two steps of Python code, when a save that is under way is done, and has the
        grace time less 5 s (less a half, if that is more than 5 s of it). Then the attempt ends. It is forgotten at the end
        of the task, or of the block if used with `with`. Nothing calls it in a plain run.
        """
        return self._stop.on_stop(callback)

    def close(self) -> None:
        """Wait for what is under way; a save that failed is told in the log. Called when the task has ended."""
        newest = self._waited_for()
        if newest is not None and (error := newest.exception()) is not None:
            sys.stderr.write(f"flyte-temporal: a checkpoint was not saved: {error}\n")
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def settle(self, *, keep: bool) -> None:
        """Delete what nobody will ask for any more, once the task has succeeded.

        Args:
            keep: Whether the last checkpoint stays.
        """
        if self._generations is None:
            return
        try:
            self._generations.tidy(1 if keep else 0)
        except StorageError as error:
            sys.stderr.write(f"flyte-temporal: old checkpoints were not deleted: {error}\n")

    # ---- inside ----------------------------------------------------------------

    def _store(self) -> Generations:
        if self._generations is None:
            self._generations = self._open()
        return self._generations

    def _folder(self, name: str) -> Path:
        self.scratch.mkdir(parents=True, exist_ok=True)
        folder = self.scratch / name
        folder.mkdir(exist_ok=True)
        return folder

    def _candidates(self) -> list[Saved]:
        if self._before is None:
            self._before = self._store().found()
        return self._before

    def _fetched(self, target: Path, tag: str | None) -> Saved | None:
        passed_over: set[str] = set()
        while True:
            fitting = [s for s in self._candidates() if _fits(s, tag) and s.folder not in passed_over]
            if not fitting:
                break
            for saved in fitting:
                try:
                    self._fetch(saved, target)
                except CorruptBlob as error:
                    passed_over.add(saved.folder)
                    sys.stderr.write(f"flyte-temporal: a checkpoint is passed over: {error}\n")
                else:
                    return saved
            # An attempt that was given up and lives on may have replaced what was listed.
            self._before = None
        if self._candidates():
            what = f"has the tag {tag!r}" if tag is not None else "is whole"
            sys.stderr.write(f"flyte-temporal: no checkpoint {what}; the task starts afresh.\n")
        return None

    def _fetch(self, saved: Saved, target: Path) -> None:
        """Copy a generation into a folder, which gets all of it or nothing."""
        aside = Path(tempfile.mkdtemp(dir=self._folder("restoring")))
        try:
            self._store().fetch(saved, aside)
            shutil.copytree(aside, target, dirs_exist_ok=True, copy_function=shutil.move)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _save(self, source: bytes | Path, step: int | None, tag: str, *, wait: bool) -> Saving:
        with self._stop.put_off():
            if wait:
                self._waited_for()
                done: Future[SavedCheckpoint] = Future()
                done.set_result(self._stored(source, step, tag))
                return Saving(done)
            aside = None
            if isinstance(source, Path):
                aside = Path(tempfile.mkdtemp(dir=self._folder("saving")))
                source = copied(source, aside)
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
            future = self._thread.submit(self._stored, source, step, tag, aside)
            self._under_way = [*(each for each in self._under_way if not each.done()), future]
            return Saving(future)

    def _waited_for(self) -> Future[SavedCheckpoint] | None:
        """Wait for the saves that are under way, and return the newest; older ones do not matter beside it."""
        waiting, self._under_way = self._under_way, []
        for future in waiting:
            future.exception()
        return waiting[-1] if waiting else None

    def _stored(
        self, source: bytes | Path, step: int | None, tag: str, aside: Path | None = None
    ) -> SavedCheckpoint:
        try:
            with self._lock:
                self._candidates()  # what this attempt began with, before it adds to it
                contents = Contents.of(source)
                saved = self._store().save(contents, step, tag)
                self.last = saved.generation.summary
                self._note(self.last)
                return self.last
        except StorageError as error:
            what = "The checkpoint" if step is None else f"The checkpoint of step {step}"
            raise StorageError(
                f"{what} was not saved: {error} What was saved before is still there."
            ) from error
        finally:
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)


def _fits(saved: Saved, tag: str | None) -> bool:
    return tag is None or saved.generation.tag == tag
