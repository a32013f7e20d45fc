"""Row 16 of the fault matrix: one byte of a remembered file is another one. It is computed anew, once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flyte_temporal.activities.damage import DIGESTED_BYTES
from flyte_temporal.spec import keys
from tests.e2e.command import Command, made_of
from tests.invariants import check

pytestmark = pytest.mark.slow


@pytest.mark.row(16)
@pytest.mark.parametrize("size", [1000, DIGESTED_BYTES + 1000], ids=["small", "large"])
def test_row_16_a_flipped_byte_of_a_remembered_file_is_found_and_computed_anew(
    cli: Command, tmp_path: Path, notes: Path, size: int
) -> None:
    """A small one when it is looked up, in the same run; a large one by who reads it, and the next run computes it."""
    program = made_of("damaged.py.txt", tmp_path / "src" / "damaged.py")
    words = (program, "checked", "--folder", str(notes), "--size", str(size), "-o", "json")
    name = f"flipped-{size}"

    def run(number: int, expect: int | None = 0) -> str:
        cli("run", "--name", f"{name}-{number}", *words, expect=expect)
        return str(cli("get", "execution", f"{name}-{number}", "-o", "json").document["phase"])

    assert run(1) == "SUCCEEDED"
    stored = cli.home / "storage" / keys.blob(hashlib.sha256(bytes(size)).hexdigest())
    stored.chmod(0o644)
    stored.write_bytes(b"\1" + bytes(size - 1))
    if size > DIGESTED_BYTES:
        assert run(2, expect=None) == "FAILED"
        assert not stored.exists()
        assert cli("cache", "ls", "--execution", f"{name}-1", "-o", "json").document == []
    assert run(3) == "SUCCEEDED"
    assert (notes / f"made-{size}").read_text() == "xx"
    assert stored.read_bytes() == bytes(size)
    assert run(4) == "SUCCEEDED"
    assert (notes / f"made-{size}").read_text() == "xx"
    check(cli.home, f"{name}-3", f"{name}-4")
