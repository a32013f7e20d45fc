from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyte_temporal.errors import BadRequest, CorruptBlob, LimitExceeded, StorageError
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.document import sha256_hex
from flyte_temporal.spec.execution import BundleRef
from flyte_temporal.storage import bundles
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.bundles import pack, store_bundle, unpack
from flyte_temporal.storage.ignore import is_ignored, parse
from flyte_temporal.storage.sealing import remove
from flyte_temporal.storage.source_files import BundleLimits, SourceFile, source_files
from flyte_temporal.testing.blobs import MemoryBlobStore


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1, 1))
    return root


def names(root: Path) -> list[str]:
    return [file.name for file in source_files(root, BundleLimits())]


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_round_trip(tmp_path: Path) -> None:
    files = {"a.py": "x = 1\n", "pkg/__init__.py": "", "pkg/ü.py": "y", "deep/" * 60 + "end.txt": "z"}
    source = write(tmp_path / "src", files)
    (source / "tool.sh").write_text("#!/bin/sh\n")
    (source / "tool.sh").chmod(0o755)
    store = MemoryBlobStore()
    ref = store_bundle(store, pack(source, tmp_path / "cache"))
    assert ref.key == keys.bundle(ref.sha256)
    unpacked = unpack(store, ref, tmp_path / "bundles")
    assert tree(unpacked) == tree(source)
    assert os.access(unpacked / "tool.sh", os.X_OK)
    assert not os.access(unpacked / "a.py", os.X_OK)
    assert unpack(store, ref, tmp_path / "bundles") == unpacked


def test_equal_trees_give_equal_bytes(tmp_path: Path) -> None:
    files = {"b.py": "1", "a.py": "2", "c/d.py": "3"}
    one = pack(write(tmp_path / "one", files), tmp_path / "cache1")
    two = pack(write(tmp_path / "two", dict(reversed(files.items()))), tmp_path / "cache2")
    assert one.path.read_bytes() == two.path.read_bytes()
    other = pack(write(tmp_path / "three", files | {"a.py": "9"}), tmp_path / "cache3")
    assert other.sha256 != one.sha256


def test_an_unchanged_tree_is_not_archived_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "src", {"a.py": "1"})
    # A change time cannot be set, so the tree is "old" because nothing counts as too young.
    monkeypatch.setattr(bundles, "_SETTLED_NS", -(10**12))
    first = pack(source, tmp_path / "cache")
    made: list[Path] = []
    archive: Callable[..., bytes] = bundles._archive

    def counted(root: Path, files: object) -> bytes:
        made.append(root)
        return archive(root, files)

    monkeypatch.setattr(bundles, "_archive", counted)
    assert pack(source, tmp_path / "cache") == first
    assert made == []
    write(source, {"a.py": "2"})
    changed = pack(source, tmp_path / "cache")
    assert (changed.sha256 != first.sha256, len(made)) == (True, 1)
    shutil.rmtree(tmp_path / "cache")
    assert pack(source, tmp_path / "cache") == changed


def test_a_file_changed_just_now_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "src", {"a.py": "1"})
    monkeypatch.setattr(bundles, "_SETTLED_NS", 10**15)
    pack(source, tmp_path / "cache")
    assert not (tmp_path / "cache" / "trees").exists()


def test_what_is_never_packed(tmp_path: Path) -> None:
    skipped = [".venv/x.py", "venv/x.py", "__pycache__/a.pyc", "a.pyc", "node_modules/x.js", ".git/config"]
    skipped += [".mypy_cache/x", "myenv/pyvenv.cfg", "myenv/lib/x.py", ".DS_Store", "p/__pycache__/b.pyc"]
    source = write(tmp_path / "src", {"a.py": "", "p/b.py": ""} | dict.fromkeys(skipped, ""))
    assert names(source) == ["a.py", "p/b.py"]


def test_folders_that_say_that_they_are_caches_are_left_out(tmp_path: Path) -> None:
    tag = "Signature: 8a477f597d28d172789f06886806bc55\n# This is a cache."
    files = {
        "a.py": "",
        "made/CACHEDIR.TAG": tag,
        "made/x.py": "",
        "kept/CACHEDIR.TAG": "no",
        "kept/y.py": "",
    }
    source = write(tmp_path / "src", files | {".flyteignore": "!made/\n"})
    assert names(source) == [".flyteignore", "a.py", "kept/CACHEDIR.TAG", "kept/y.py"]


def test_a_local_store_among_the_code_is_not_packed(tmp_path: Path) -> None:
    source = write(tmp_path / "src", {"a.py": "1"})
    store = open_store(StorageConfig(root=(source / "here" / "store").as_uri()))
    first = store_bundle(store, pack(source, tmp_path / "cache"))
    assert store_bundle(store, pack(source, tmp_path / "cache")) == first
    assert [blob.key for blob in store.list("")] == [first.key]


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder, and for the time of the test an account that permissions hold for; root may read everything."""
    folder = Path(tempfile.mkdtemp(prefix="ft-unprivileged-"))
    was_root = os.geteuid() == 0
    if was_root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
        remove(folder)


@pytest.mark.parametrize("name", ["data/secret.txt", "data", ".gitignore", "pkg/.flyteignore", "link.txt"])
def test_what_cannot_be_read_is_named(unprivileged: Path, name: str) -> None:
    files = {"a.py": "", "data/secret.txt": "x", ".gitignore": "x", "pkg/.flyteignore": "x", "pkg/b.py": ""}
    source = write(unprivileged / "src", files)
    hidden = source / name
    if name == "link.txt":
        elsewhere = write(unprivileged / "elsewhere", {"f.txt": "x"})
        hidden.symlink_to(elsewhere / "f.txt")
        hidden, closed = elsewhere, hidden
    else:
        closed = hidden
    hidden.chmod(0)
    told = f"^{re.escape(str(closed))} (belongs .*, but )?cannot be read .*Make it readable, or"
    with pytest.raises(BadRequest, match=told):
        pack(source, unprivileged / "cache")
    if "ignore" not in name:
        (source / ".flyteignore").write_text(f"/{name}\n")
        assert pack(source, unprivileged / "cache").size > 0


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_vanishes_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    source = write(tmp_path / "src", {"a.py": "1", "b.tmp0": "", "b.tmp1": ""})
    listed: list[list[str]] = []

    def listing(root: Path, limits: BundleLimits) -> list[SourceFile]:
        found = source_files(root, limits)
        listed.append([file.name for file in found])
        if len(listed) <= times:
            (source / f"b.tmp{len(listed) - 1}").unlink()
        return found

    monkeypatch.setattr(bundles, "source_files", listing)
    if times == 1:
        store = MemoryBlobStore()
        packed = store_bundle(store, pack(source, tmp_path / "cache"))
        assert tree(unpack(store, packed, tmp_path / "unpacked")) == {"a.py": b"1", "b.tmp1": b""}
    else:
        with pytest.raises(BadRequest, match=r"b\.tmp1 vanished.*flyteignore"):
            pack(source, tmp_path / "cache")
    assert len(listed) == 2


def test_unpacked_code_is_read_only_and_can_be_removed(unprivileged: Path) -> None:
    source = write(unprivileged / "src", {"a.py": "1", "pkg/tool.sh": "2"})
    (source / "pkg" / "tool.sh").chmod(0o755)
    store = MemoryBlobStore()
    ref = store_bundle(store, pack(source, unprivileged / "cache"))
    unpacked = unpack(store, ref, unprivileged / "unpacked")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (unpacked, *unpacked.rglob("*"))}
    assert modes == {ref.sha256: 0o555, "a.py": 0o444, "pkg": 0o555, "tool.sh": 0o555}
    with pytest.raises(PermissionError):
        (unpacked / "pkg" / "new.py").write_text("")
    with pytest.raises(PermissionError):
        (unpacked / "a.py").write_text("")
    remove(unpacked)
    assert list((unprivileged / "unpacked").iterdir()) == []


def test_links_and_special_files(tmp_path: Path) -> None:
    source = write(tmp_path / "src", {"a.py": "1", "sub/b.py": "2"})
    outside = write(tmp_path / "outside", {"c.py": "3"})
    (source / "link.py").symlink_to(outside / "c.py")
    (source / "folder").symlink_to(outside)
    (source / "broken").symlink_to(tmp_path / "nothing")
    os.mkfifo(source / "pipe")
    assert names(source) == ["a.py", "link.py", "sub/b.py"]
    store = MemoryBlobStore()
    unpacked = unpack(store, store_bundle(store, pack(source, tmp_path / "cache")), tmp_path / "b")
    assert (unpacked / "link.py").read_text() == "3"
    assert not (unpacked / "link.py").is_symlink()


def test_limits_name_the_largest_files(tmp_path: Path) -> None:
    source = write(
        tmp_path / "src", {"small.py": "1", "data/huge.bin": "x" * 5000, "data/big.bin": "y" * 3000}
    )
    with pytest.raises(LimitExceeded, match=r"huge\.bin.*flyteignore"):
        pack(source, tmp_path / "cache", BundleLimits(raw_bytes=4000))
    with pytest.raises(LimitExceeded, match="more than 2 files"):
        pack(source, tmp_path / "cache", BundleLimits(files=2))
    (source / "noise.bin").write_bytes(os.urandom(4000))
    with pytest.raises(LimitExceeded, match=r"compressed.*noise\.bin|compressed.*huge\.bin"):
        pack(source, tmp_path / "cache", BundleLimits(compressed_bytes=3000))
    (source / ".flyteignore").write_text("data/\nnoise.bin\n")
    assert pack(source, tmp_path / "cache", BundleLimits(raw_bytes=4000)).size > 0


GITIGNORE = [
    "*.csv",
    "!keep.csv",
    "/rooted",
    "build/",
    "docs/*.txt",
    "**/deep/x",
    "a/**/z",
    "tail/**",
    "name?.py",
    "[ab]c.py",
    "[!a]d.py",
    r"\!bang",
    r"\#hash",
    "# comment",
    "trailing   ",
    r"spaced\ ",
    "",
    "foo*bar",
    "/x/y/",
    "*.d/",
]
PATHS = [
    "one.csv",
    "sub/two.csv",
    "keep.csv",
    "sub/keep.csv",
    "rooted",
    "sub/rooted",
    "build/out",
    "sub/build/out",
    "buildx",
    "docs/a.txt",
    "docs/sub/a.txt",
    "deep/x",
    "q/deep/x",
    "q/deep/y",
    "a/z",
    "a/b/z",
    "a/b/c/z",
    "b/a/z",
    "tail/1",
    "tail/2/3",
    "name1.py",
    "name12.py",
    "ac.py",
    "cc.py",
    "ad.py",
    "bd.py",
    "!bang",
    "#hash",
    "trailing",
    "spaced ",
    "foo-and-bar",
    "foo/bar",
    "x/y/file",
    "z/x/y/file",
    "k.d/file",
    "k.dx",
    "inner/secret.txt",
    "inner/public.txt",
    "inner/sub/secret.txt",
]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the reference for this test")
def test_ignore_files_mean_what_git_means(tmp_path: Path) -> None:
    source = write(tmp_path / "repo", dict.fromkeys(PATHS, "x"))
    (source / ".gitignore").write_text("\n".join(GITIGNORE) + "\n")
    (source / "inner" / ".gitignore").write_text("secret.txt\n!public.txt\n/sub/nothing\n")
    git = ["git", "-C", str(source), "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q"], check=True)
    listed = subprocess.run(
        [*git, "ls-files", "-co", "-z", "--exclude-standard"], check=True, capture_output=True
    )
    expected = sorted(listed.stdout.decode().rstrip("\0").split("\0"))
    assert names(source) == expected
    # A source root inside the work tree sees the same rules, and no git is needed for it.
    (tmp_path / "repo" / ".git" / "HEAD").unlink()
    assert names(source / "inner") == sorted(
        n.removeprefix("inner/") for n in expected if n.startswith("inner/")
    )


def test_flyteignore_has_the_last_word(tmp_path: Path) -> None:
    source = write(tmp_path / "src", {"a.csv": "", "b.csv": "", "c.py": "", "d.py": ""})
    (source / ".gitignore").write_text("*.csv\n")
    (source / ".flyteignore").write_text("!a.csv\nd.py\n")
    assert [n for n in names(source) if not n.startswith(".")] == ["a.csv", "c.py"]


@pytest.mark.parametrize(
    ("line", "path", "folder", "ignored"),
    [
        ("a[", "a[", False, True),
        ("x{1}.py", "x{1}.py", False, True),
        ("a.b", "axb", False, False),
        ("dir/", "dir", False, False),
        ("dir/", "dir", True, True),
        ("[a-c].py", "b.py", False, True),
        ("[]x]", "]", False, True),
        ("a*b", "a/b", False, False),
    ],
)
def test_patterns(line: str, path: str, folder: bool, ignored: bool) -> None:
    rule = parse(line)
    assert rule is not None
    assert is_ignored(path, (rule,), folder=folder) is ignored


def stored(store: MemoryBlobStore, data: bytes) -> BundleRef:
    digest = sha256_hex(data)
    store.put_new(keys.bundle(digest), data)
    return BundleRef(sha256=digest, key=keys.bundle(digest), size=len(data))


def archive(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for entry, data in entries:
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize(
    "bad",
    [
        entry("../evil.py"),
        entry("a/../../evil.py"),
        entry("/tmp/evil.py"),
        entry("a\\b"),
        entry("link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("hard", tarfile.LNKTYPE, "good.py"),
        entry("device", tarfile.CHRTYPE),
        entry("pipe", tarfile.FIFOTYPE),
        entry("folder", tarfile.DIRTYPE),
    ],
    ids=lambda e: e.name,
)
def test_an_archive_with_anything_else_is_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    store = MemoryBlobStore()
    ref = stored(store, archive((entry("good.py"), b"1"), (bad, b"")))
    with pytest.raises(CorruptBlob):
        unpack(store, ref, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "evil.py").exists()


def test_bombs_are_refused(tmp_path: Path) -> None:
    store = MemoryBlobStore()
    zeros = stored(store, archive((entry("zeros"), bytes(32 * 1024 * 1024))))
    with pytest.raises(CorruptBlob, match="more than"):
        unpack(store, zeros, tmp_path / "cache")
    many = stored(store, archive(*((entry(f"f{n}"), b"") for n in range(11))))
    with pytest.raises(CorruptBlob, match="more than 10 files"):
        unpack(store, many, tmp_path / "cache", BundleLimits(files=10))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_archive(tmp_path: Path) -> None:
    store = MemoryBlobStore()
    good = archive((entry("a.py"), b"print(1)" * 1000))
    ref = stored(store, good)
    store.objects[ref.key] = good[:-5] + b"wrong"
    with pytest.raises(CorruptBlob, match="SHA-256"):
        unpack(store, ref, tmp_path / "cache")
    for broken in (good[: len(good) // 2], b"no archive at all", gzip.compress(b"no tar" * 500)):
        with pytest.raises(CorruptBlob, match="damaged"):
            unpack(store, stored(store, broken), tmp_path / "cache")
    missing = BundleRef(sha256="0" * 64, key=keys.bundle("0" * 64), size=1)
    with pytest.raises(StorageError, match="missing"):
        unpack(store, missing, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


UNPACKER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from flyte_temporal.spec.attempt import StorageConfig
    from flyte_temporal.spec.execution import BundleRef
    from flyte_temporal.storage.blobs import open_store
    from flyte_temporal.storage.bundles import unpack

    store = open_store(StorageConfig(root=sys.argv[1]))
    ref = BundleRef.model_validate_json(sys.argv[2])
    for _ in sys.stdin:
        root = unpack(store, ref, Path(sys.argv[3]))
        assert len(list(root.iterdir())) == 300, "seen before it was complete"
        print("ok", flush=True)
    """
)


def test_many_processes_unpack_at_once(tmp_path: Path) -> None:
    source = write(tmp_path / "src", {f"m{n}.py": "x" * n for n in range(300)})
    root = (tmp_path / "store").as_uri()
    ref = store_bundle(open_store(StorageConfig(root=root)), pack(source, tmp_path / "cache"))
    command = [sys.executable, "-c", UNPACKER, root, ref.model_dump_json(), str(tmp_path / "unpacked")]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
        process.stdin = None
    assert [process.communicate()[0] for process in processes] == ["ok\n"] * 4
    assert [path.name for path in (tmp_path / "unpacked").iterdir()] == [ref.sha256]
