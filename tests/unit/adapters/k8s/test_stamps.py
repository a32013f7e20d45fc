"""The log of a container as the cluster sends it, and how one goes on with it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flyte_temporal.adapters.launchers.kubernetes.stamps import Lines
from tests.unit.adapters.k8s.server import stamp

T0 = 1_764_201_600_000_000_000
Log = list[tuple[int, bytes]]

logs = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 10**6, 10**9]),
        st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"") + b"\n"),
    ),
    max_size=20,
)


def at_times(steps: Log) -> Log:
    now, made = T0, []
    for step, line in steps:
        now += step
        made.append((now, line))
    return made


def sent(log: Log, since: str = "") -> bytes:
    """What the kubelet sends; it knows seconds only."""
    return b"".join(stamp(n) + b" " + line for n, line in log if stamp(n)[:19] >= since[:19].encode())


@given(logs, st.lists(st.integers(0, 900), max_size=6), st.integers(1, 50))
def test_whatever_is_cut_where_the_whole_log_comes_once(steps: Log, cuts: list[int], piece: int) -> None:
    log = at_times(steps)
    lines, got = Lines(), b""
    for cut in [*cuts, None]:
        lines = Lines(lines.nanos, lines.taken)
        data = sent(log, lines.since)[:cut]
        for start in range(0, len(data), piece):
            got += lines.feed(data[start : start + piece])
    got += lines.end()
    assert got == b"".join(line for _, line in log)


def test_nothing_is_lost_behind_a_rotation() -> None:
    lines = Lines()
    assert lines.feed(sent([(T0, b"one\n"), (T0 + 5, b"two\n")])) == b"one\ntwo\n"
    # The file with those is not given any more; nor is the one after it, of which nobody has seen anything.
    again = Lines(lines.nanos, lines.taken)
    assert again.feed(sent([(T0 + 10**9, b"three\n")])) == b"three\n"


def test_a_line_of_many_parts_is_one_and_not_kept_until_its_end() -> None:
    lines, size = Lines(), 0
    size += len(lines.feed(stamp(T0) + b" " + b"x" * 16_000))
    for _ in range(99):
        size += len(lines.feed(b"x" * 16_000))
    assert size == 100 * 16_000
    again = Lines(lines.nanos, lines.taken)
    rest = again.feed(stamp(T0) + b" " + b"x" * 1_600_000 + b"y\n" + stamp(T0 + 1) + b" z\n")
    assert rest == b"y\nz\n"


def test_a_last_line_without_an_end() -> None:
    lines = Lines()
    assert lines.feed(stamp(T0) + b" no end") == b""
    assert lines.end() == b"no end"
    assert lines.end() == b""


def test_a_stream_that_another_one_overtook_is_passed_on_once() -> None:
    lines, log = Lines(), [(T0 + 5, b"out\n"), (T0 + 4, b"err\n")]
    assert lines.feed(sent(log)) == b"out\nerr\n"
    again = Lines(lines.nanos, lines.taken)
    assert again.feed(sent([*log, (T0 + 6, b"more\n"), (T0 + 5, b"late\n")])) == b"more\nlate\n"


def test_times_of_any_zone_and_precision() -> None:
    lines = Lines()
    assert lines.feed(b"2025-11-27T00:00:00.5+01:00 a\n2025-11-26T23:00:00.500000001Z b\n") == b"a\nb\n"
    assert lines.since == "2025-11-26T23:00:00Z"
    assert lines.nanos % 10**9 == 500_000_001


def test_words_of_the_kubelets_own() -> None:
    words = b"unable to retrieve container logs for containerd://abc"
    fresh = Lines()
    assert fresh.feed(words) + fresh.end() == words
    # Or the rest of an old line, whose beginning was before the second from which on it was asked for.
    again = Lines(T0, 4)
    assert again.feed(b"rest of it\n" + sent([(T0, b"one\n"), (T0 + 1, b"two\n")])) == b"two\n"
    assert Lines().feed(b"2025-13-99T00:00:00Z x\n") == b"2025-13-99T00:00:00Z x\n"
