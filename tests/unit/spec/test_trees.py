from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from flyte_temporal.errors import UnsupportedSpec
from flyte_temporal.spec.document import canonical_bytes, digest
from flyte_temporal.spec.trees import Tree, TreeFile

SHA = "0" * 64


def file(path: str, **more: object) -> TreeFile:
    return TreeFile.model_validate({"path": path, "sha256": SHA, "size": 1, **more})


def test_equal_trees_have_equal_digests() -> None:
    one = Tree.of([file("b"), file("a/x"), file("ä")], ["a", "e/f", "e"])
    two = Tree.of([file("ä"), file("a/x"), file("b")], ["e", "e/f"])
    assert one == two
    assert digest(one) == digest(two)
    assert one.folders == ("e/f",)
    assert [f.path for f in one.files] == ["a/x", "b", "ä"]
    assert digest(one) != digest(Tree.of([file("b"), file("a/x"), file("ä", executable=True)], ["e/f"]))
    assert digest(one) != digest(Tree.of([file("b"), file("a/x"), file("ä")]))


def test_the_form_of_a_manifest_is_kept() -> None:
    tree = Tree.of([file("b", executable=True), file("a")], ["e"])
    assert canonical_bytes(tree).decode() == (
        f'{{"files":[{{"path":"a","sha256":"{SHA}","size":1}},'
        f'{{"executable":true,"path":"b","sha256":"{SHA}","size":1}}],"folders":["e"],"schema_version":1}}'
    )
    assert Tree.read(canonical_bytes(tree)) == tree


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a/./b", "a//b", "", ".", "..", "a/", "a\0b"]
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    for given in ({"files": [file(path)]}, {"folders": [path]}):
        with pytest.raises(ValidationError, match="is not a path inside of a directory"):
            Tree.model_validate(given)
        text = json.dumps(given, default=lambda document: document.model_dump())
        with pytest.raises(UnsupportedSpec, match="is not a path inside of a directory"):
            Tree.read(text)


@pytest.mark.parametrize(
    ("files", "folders", "words"),
    [
        (["a", "a"], [], "a path stands twice"),
        (["b", "a"], [], "not sorted"),
        ([], ["e", "e"], "a path stands twice"),
        (["a", "a/b"], [], "'a/b' is a file and a folder"),
        (["a"], ["a"], "'a' is a file and a folder"),
        (["a"], ["a/b/c"], "'a/b/c' is a file and a folder"),
    ],
)
def test_what_is_no_tree(files: list[str], folders: list[str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Tree(files=tuple(map(file, files)), folders=tuple(folders))


@pytest.mark.parametrize("sha256", ["", "../../../x", "0" * 63, "G" * 64])
def test_a_digest_is_a_digest(sha256: str) -> None:
    with pytest.raises(ValidationError, match="'a' has no valid digest"):
        Tree(files=(TreeFile(path="a", sha256=sha256, size=1),))


def test_a_part_is_a_tree() -> None:
    tree = Tree.of([file("a"), file("b/c"), file("b/d/e")], ["b/f", "g"])
    assert tree.below("b") == Tree.of([file("c"), file("d/e")], ["f"])
    assert tree.below("b/d") == Tree.of([file("e")])
    assert tree.below("g") == Tree()
    assert tree.below("a") is tree.below("h") is None
    assert tree.below("") is tree
    assert tree.size == 3
