"""Whole executions on S3 and on GCS: a local stack whose blob store is there, behind a network that can be spoilt.

One stack per cloud. Its credentials come from where the cloud's own library looks, and nothing that is kept holds them.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from flyte_temporal import FlyteFile
from flyte_temporal.client import Client
from flyte_temporal.errors import StorageError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec.attempt import AttemptOrder, StorageConfig
from flyte_temporal.storage import scratch
from flyte_temporal.storage.blobs import open_store
from tests.conftest import CHAOS
from tests.contract.stores import CLOUDS, cloud_config, gcs_port, s3_port
from tests.e2e.command import Command, made_of
from tests.e2e.conftest import stacked
from tests.google import service_account
from tests.invariants import check
from tests.proxies import Decide, Fault, FaultyProxy, Request, proxied

__all__ = ["gcs_port", "s3_port"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SIZE = 700_000
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYsecretkey"
RESULT = f"{sum(range(SIZE // 20))} {2 * (SIZE + 6)} 20"


@dataclass
class Place:
    """A stack whose blob store is at a cloud.

    Args:
        kind: `s3` or `gcs`.
        cli: Its command line.
        config: How its store is reached by the stack, by way of the proxy.
        direct: The same store, directly.
        proxy: What lies between.
        secrets: Texts that nothing may hold.
        program: What is run.
    """

    kind: str
    cli: Command
    config: StorageConfig
    direct: BlobStore
    proxy: FaultyProxy
    secrets: tuple[str, ...]
    program: Path

    @contextmanager
    def spoilt(self, decide: Decide) -> Iterator[list[tuple[Request, Fault]]]:
        """Let the network do inside of the block what is decided; gives what it did."""
        del self.proxy.faults[:]
        before, self.proxy.decide = self.proxy.decide, decide
        try:
            yield self.proxy.faults
        finally:
            self.proxy.decide = before

    def orders(self) -> list[AttemptOrder]:
        """Return the orders of the attempts that are at work."""
        found = (self.cli.home / "attempts" / "attempts").glob("*.journal")
        journals = [scratch.read_journal(path.with_suffix("")) for path in found]
        return [AttemptOrder.read(journal.order) for journal in journals if journal is not None]

    def measuring(self, execution: str) -> AttemptOrder:
        """Return the order of the task that waits, as soon as it is at work."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            for order in self.orders():
                if order.attempt.execution.name == execution and order.task.name.endswith("measure"):
                    return order
            time.sleep(0.05)
        raise AssertionError("no order")

    def kept(self) -> Iterator[tuple[str, bytes]]:
        """Yield all that the home and the store hold: logs, orders, databases with all histories, objects."""
        for path in sorted(self.cli.home.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(self.cli.home)), path.read_bytes()
        for info in self.direct.list(""):
            yield info.key, self.direct.get(info.key) or b""

    def holders(self, *texts: str) -> set[str]:
        """Return what holds one of some texts, also as JSON writes it."""
        forms = {
            form.encode()
            for text in texts
            for form in (text, text.replace("/", "\\/"), text.replace("\n", "\\n"))
        }
        return {name for name, data in self.kept() if any(form in data for form in forms)}


S3_AND_BY_CHAOS_ALL = [
    pytest.param("s3", marks=pytest.mark.s3),
    pytest.param("gcs", marks=[pytest.mark.gcs, CHAOS]),
]


@pytest.fixture(scope="module", params=CLOUDS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("cloud")
    kind: str = request.param
    plain, port = cloud_config(kind, request, f"stack-{kind}")
    with ExitStack() as stack:
        proxy = stack.enter_context(proxied(port, lambda _: None))
        variables = {
            "STORAGE__ROOT": plain.root,
            "STORAGE__ENDPOINT": f"http://127.0.0.1:{proxy.server_address[1]}",
        }
        secrets: tuple[str, ...]
        if kind == "s3":
            variables |= {"STORAGE__REGION": "eu-west-1", "STORAGE__PATH_STYLE": "true"}
            secrets = (AWS_SECRET,)
            theirs = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": AWS_SECRET}
        else:
            account = stack.enter_context(service_account(folder))
            secrets = (account.token, account.key.splitlines()[5])
            theirs = {"GOOGLE_APPLICATION_CREDENTIALS": str(account.file)}
        ours = {f"FLYTE_TEMPORAL_{name}": value for name, value in variables.items()}
        cli = stack.enter_context(stacked(folder / "h", (*ours.items(), *theirs.items())))
        direct = open_store(plain)
        assert direct.head("nothing") is None  # it has found its credentials, which a test takes away
        yield Place(
            kind=kind,
            cli=cli,
            config=plain.model_copy(update={"endpoint": variables["STORAGE__ENDPOINT"]}),
            direct=direct,
            proxy=proxy,
            secrets=secrets,
            program=made_of("clouds.py.txt", folder / "src" / "program.py"),
        )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(random.Random(7).randbytes(SIZE))
    return path


def test_everything_of_an_execution_lies_there_and_no_secret_anywhere(
    place: Place, data: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "go"
    place.cli("run", "--detach", "--name", "whole", place.program, "wf", "--data", data, "--waits_for", flag)

    order = place.measuring("whole")
    assert order.storage.root == place.config.root
    assert order.storage.endpoint == place.config.endpoint
    assert not order.storage.options
    assert not place.holders(*place.secrets)
    flag.touch()

    done = place.cli("wait", "whole", "-o", "json").document
    assert (done["phase"], done["error"]) == ("SUCCEEDED", None)
    uri = done["outputs"]["o0"]
    assert uri.startswith(place.config.root)
    key = place.direct.key(uri)
    assert key is not None
    assert place.direct.get(key) == RESULT.encode()
    assert "measured on" in place.cli("logs", "whole").stdout
    check(place.cli.home, "whole", storage=place.config)

    kept = {info.key.split("/")[0] for info in place.direct.list("")}
    assert kept >= {"attempts", "blobs", "bundles", "checkpoints", "specs"}
    assert any("/logs/" in info.key for info in place.direct.list("attempts"))
    assert not any((place.cli.home / "storage").rglob("*.json"))
    # The search would see it: the name of the execution is in both databases, in manifests and in logs.
    seen = {name.removesuffix("-wal") for name in place.holders("whole")}
    assert seen >= {"temporal.db", "metadata.db"}
    assert any(name.endswith("manifest.json") for name in seen)
    assert not place.holders(*place.secrets)


@pytest.mark.row(11, 12, 13, 14)
def test_faults_of_the_store_cost_time_and_nothing_else(place: Place, data: Path, seed: int) -> None:
    """Bursts of 500 and 503, answers that are lost, bodies that are cut both ways, and what comes in drops."""
    chance = random.Random(seed)
    kinds = cycle(("status", "drop", "reset", "cut", "truncate", "trickle"))
    spared = 0

    def decide(request: Request) -> Fault | None:
        nonlocal spared
        spared += 1
        # Whatever the seed: a run makes some forty requests.
        if chance.random() > 0.12 and spared < 6:
            return None
        spared, kind = 0, next(kinds)
        if (kind == "cut" and not request.size) or (
            kind in {"truncate", "trickle"} and request.method == "HEAD"
        ):
            kind = "status"
        return Fault(kind, chance.choice((500, 503)))  # type: ignore[arg-type]

    with place.spoilt(decide) as faults:
        done = place.cli(
            "run", "--name", "spoilt", "-o", "json", place.program, "wf", "--data", data
        ).document
        assert (done["phase"], done["error"]) == ("SUCCEEDED", None)
        assert {fault.kind for _, fault in faults} >= {"status", "drop", "reset"}
    key = place.direct.key(done["outputs"]["o0"])
    assert key is not None
    assert place.direct.get(key) == RESULT.encode()
    rows = place.cli("get", "nodes", "spoilt", "-o", "json").document
    used = {row["id"]: row["attempts"] for row in rows if row["attempts"]}
    assert sum(used.values()) == len(used) + 1, f"only the one that means to fails once: {used}"
    check(place.cli.home, "spoilt", storage=place.config)


@pytest.mark.row(11)
@pytest.mark.parametrize("place", S3_AND_BY_CHAOS_ALL, indirect=True)
def test_a_store_that_is_away_for_a_while_costs_no_attempt(place: Place, data: Path, tmp_path: Path) -> None:
    """What a task has computed is kept until the store takes it (row 11): longer than the store's five tries."""
    flag = tmp_path / "go"
    words = ("--detach", "--launcher", "process", "--name", "away")
    place.cli("run", *words, place.program, "measure", "--data", data, "--waits_for", flag)
    place.measuring("away")
    away = threading.Event()
    away.set()
    with place.spoilt(lambda _: Fault("status", 503) if away.is_set() else None) as faults:
        flag.touch()
        deadline = time.monotonic() + 90
        while not faults:
            assert time.monotonic() < deadline, "nobody asks the store"
            time.sleep(0.05)
        time.sleep(8)  # how long it is away
        away.clear()
        done = place.cli("wait", "away", "-o", "json").document
    assert (done["phase"], done["error"], done["outputs"]) == ("SUCCEEDED", None, {"o0": SIZE})
    (row,) = place.cli("get", "nodes", "away", "-o", "json").document
    assert row["attempts"] == 1
    check(place.cli.home, "away", storage=place.config)


def test_a_client_uploads_by_a_signed_address(
    place: Place, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.cli("get", "executions")  # the stack runs, with its credentials
    for name, value in place.cli.variables:
        if name.startswith("FLYTE_"):
            monkeypatch.setenv(name, value)
    # It has no credentials of its own: what it does by itself would fail.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    data.write_bytes(b"uploaded" * 1000)
    with Client.local(place.cli.home) as client:
        with place.spoilt(lambda r: Fault("drop") if r.method == "PUT" and r.number == 1 else None):
            del place.proxy.requests[:]
            uri = client.upload(data)
        sent = [r for r in place.proxy.requests if r.method == "PUT"]
        assert len(sent) == 2, "its first answer was lost"
        asked = urlsplit(sent[-1].path)
        assert uri == f"{place.config.root.partition('://')[0]}:/{unquote(asked.path)}"
        said = {name.split("-", 2)[-1]: value[0] for name, value in parse_qs(asked.query).items()}
        assert int(said["Expires"]) <= 900
        assert said["SignedHeaders"] == (
            "content-length;host;x-amz-checksum-sha256"
            if place.kind == "s3"
            else "content-md5;host;x-goog-content-length-range"
        )
        del place.proxy.requests[:]
        assert client.upload(data) == uri
        assert [r for r in place.proxy.requests if r.method == "PUT"] == [], "it is there"
        assert FlyteFile(uri).remote_source == uri
    key = place.direct.key(uri)
    assert key is not None
    assert place.direct.get(key) == data.read_bytes()
    done = place.cli("run", "-o", "json", place.program, "measure", "--data", uri, "--waits_for", "").document
    assert done["outputs"] == {"o0": 8000}
    assert not place.holders(*place.secrets, said["Signature"])


def test_an_upload_that_is_refused_says_so_without_the_address(place: Place, data: Path) -> None:
    from flyte_temporal.spec.uploads import Upload
    from flyte_temporal.storage.uploads import send

    with place.spoilt(lambda r: Fault("status", 403)), pytest.raises(StorageError, match="403") as raised:
        send(data, Upload(url=f"{place.config.endpoint}/bucket/key?X-Signature=hidden"))
    assert "hidden" not in str(raised.value)


def test_addresses_of_ones_own_are_reached_as_the_store_is(place: Place) -> None:
    if place.kind == "gcs":
        pytest.skip("gcsfs asks another service of Google's first, which nothing here plays")
    place.direct.put("own/given.txt", b"given")
    address = f"{place.config.root.removesuffix('prefix')}prefix/own/given.txt"
    done = place.cli("run", "-o", "json", place.program, "own", "--address", address).document
    assert done["outputs"] == {"o0": "given"}
    assert place.direct.get("own/copy.txt") == b"GIVEN"


def test_a_command_that_means_another_store_is_told(place: Place) -> None:
    place.cli("get", "executions")
    other = Command(place.cli.home, tuple((n, v) for n, v in place.cli.variables if "STORAGE__ROOT" not in n))
    refused = other("get", "executions", expect=None)
    assert refused.code != 0
    assert "FLYTE_TEMPORAL_STORAGE__ROOT" in refused.stderr
    assert place.config.root in refused.stderr
