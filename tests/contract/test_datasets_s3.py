"""A dataset at an S3 address of the user's own, with S3 as moto's server plays it."""

from __future__ import annotations

from pathlib import Path

import fsspec
import polars as pl
import pytest

from flyte_temporal import StructuredDataset
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.sdk.types.engine import default_engine
from flyte_temporal.spec.literals import DatasetValue
from tests.contract.test_blob_store import s3_config, s3_port  # noqa: F401 - a fixture


@pytest.fixture
def bucket(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: F811 - the fixture
    s3_config(s3_port, "tables")
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    return "s3://tables"


@pytest.mark.s3
def test_written_and_read_where_the_author_says(bucket: str, tmp_path: Path) -> None:
    engine, context = default_engine(), ValueContext(None, tmp_path)
    frame = pl.DataFrame({"a": [1, 2]})
    for format_ in ("parquet", "csv"):
        uri = f"{bucket}/out/data.{format_}"
        given = StructuredDataset(frame, uri=uri, file_format=format_)
        written = DatasetValue.model_validate(engine.to_json(given, StructuredDataset, context))
        assert (written.uri, written.format, written.rows) == (uri, format_, 2)
        back = engine.to_python(
            written.model_dump(mode="json"),
            engine.literal_type(StructuredDataset),
            StructuredDataset,
            context,
        )
        assert back.open(pl.DataFrame).all().equals(frame)
        assert StructuredDataset(uri=uri).open(pl.DataFrame).all().equals(frame)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
