"""The table of names cannot lie: what it promises is there, and no public name of flytekit is forgotten."""

from __future__ import annotations

from pathlib import Path

from flyte_temporal import testing
from flyte_temporal.cli.port import names
from flyte_temporal.cli.port.lookup import Lack, Lookup, Target, exported

FLYTEKIT = [
    line
    for line in Path(__file__).with_name("flytekit_names.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_every_name_of_the_table_is_in_the_package_root() -> None:
    told = names.ONLY_HERE | set(names.RENAMED.values()) | set(names.SAME_IN_FOREIGN.values())
    assert sorted(told - exported()) == []


def test_every_promised_name_of_testing_is_there() -> None:
    assert [name for name in sorted(names.IN_TESTING) if not callable(getattr(testing, name, None))] == []


def test_every_public_name_of_flytekit_is_ported_or_explained() -> None:
    modules = {name.partition(".")[2] for name in names.MODULE_ALIASES}
    lookup = Lookup()
    forgotten = [
        name
        for name in FLYTEKIT
        if name not in modules
        and isinstance(lookup.find("flytekit", name), Lack)
        and name not in names.LACKING
    ]
    assert forgotten == []


def test_a_name_that_both_have_is_ported_to_itself() -> None:
    lookup = Lookup()
    for name in exported() - names.ONLY_HERE:
        assert lookup.find("flytekit", name) in (
            Target("flyte_temporal", name),
            Target("flyte_temporal", names.RENAMED.get(f"flytekit.{name}", "")),
        )


def test_nothing_is_both_there_and_lacking() -> None:
    assert exported() & set(names.LACKING) == set()


def test_a_name_that_the_root_does_not_have_is_lacking_whatever_the_table_says() -> None:
    found = Lookup(exported=frozenset(), testing=frozenset()).find("flytekit", "task")
    assert isinstance(found, Lack)
