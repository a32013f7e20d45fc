"""The built-in encoders and decoders of datasets: one file, parquet or CSV, of each kind of frames.

Registered when this module is imported, which `datasets` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.sdk.types import stored
from flyte_temporal.sdk.types.converter import Misfit, ValueContext
from flyte_temporal.sdk.types.dataset_files import put
from flyte_temporal.sdk.types.dataset_registry import (
    StructuredDatasetDecoder,
    StructuredDatasetEncoder,
    StructuredDatasetTransformerEngine,
    format_of,
    require_columns,
)
from flyte_temporal.sdk.types.frames import KINDS, FrameKind, header
from flyte_temporal.sdk.types.structured_dataset import StructuredDataset, narrowed
from flyte_temporal.spec.literals import DatasetValue, FileValue
from flyte_temporal.spec.types import STRING, DatasetType


class FileEncoder(StructuredDatasetEncoder[Any]):
    """Writes a built-in kind of frames as one file, under its digest or where the author says."""

    only_files: ClassVar[bool] = True

    def __init__(self, kind: FrameKind, format_: str) -> None:
        self._kind = kind
        self.protocol, self.supported_format = "", format_

    @property
    def type_name(self) -> str:
        """Package and name of the class of dataframes."""
        return self._kind.python

    def encode(
        self,
        context: ValueContext,
        structured_dataset: StructuredDataset,
        structured_dataset_type: DatasetType,
    ) -> DatasetValue:
        """Store the frame."""
        kind, format_ = self._kind, structured_dataset_type.format
        frame = narrowed(kind, structured_dataset.dataframe, structured_dataset_type)

        def write(path: Path) -> None:
            try:
                kind.write(frame, path, format_)
            except (Misfit, FlyteTemporalError):
                raise
            except Exception as error:  # each library has errors of its own
                raise Misfit(
                    f"this {kind.python.partition('.')[2]} cannot be written as {format_}: {error}. Give each column one "
                    "type and a text name."
                ) from error

        uri = structured_dataset.uri
        file = put(write, uri, context) if uri else stored.store(write, f"data.{format_}", format_, context)
        return DatasetValue(
            uri=file.uri,
            format=format_,
            columns=kind.columns(frame),
            rows=kind.rows(frame),
            sha256=file.sha256,
            size=file.size if file.sha256 is not None else None,
        )


class FileDecoder(StructuredDatasetDecoder[Any]):
    """Reads one file as a built-in kind of frames."""

    only_files: ClassVar[bool] = True

    def __init__(self, kind: FrameKind, format_: str) -> None:
        self._kind = kind
        self.protocol, self.supported_format = "", format_

    @property
    def type_name(self) -> str:
        """Package and name of the class of dataframes."""
        return self._kind.python

    def decode(
        self, context: ValueContext, flyte_value: DatasetValue, structured_dataset_type: DatasetType
    ) -> Any:
        """Return the frame."""
        frames = self._frames(context, flyte_value, structured_dataset_type, in_batches=False)
        found = next(frames)
        frames.close()
        return found

    def stream(
        self, context: ValueContext, flyte_value: DatasetValue, structured_dataset_type: DatasetType
    ) -> Iterator[Any]:
        """Return frames of some rows each."""
        frames: Iterator[Any] = self._frames(context, flyte_value, structured_dataset_type, in_batches=True)
        return frames

    def _frames(
        self, context: ValueContext, value: DatasetValue, type_: DatasetType, *, in_batches: bool
    ) -> Any:
        format_ = value.format or format_of(value.uri)
        columns = [column.name for column in type_.columns] or None
        texts = [column.name for column in type_.columns if column.type == STRING]
        file = FileValue(uri=value.uri, sha256=value.sha256)
        with stored.fetched(file, context, "dataset") as path:
            try:
                if columns is not None:
                    require_columns(columns, header(path, format_), f"the dataset {value.uri!r}")
                if in_batches:
                    yield from self._kind.batches(path, format_, columns, texts)
                else:
                    yield self._kind.read(path, format_, columns, texts)
            except (Misfit, FlyteTemporalError, FileNotFoundError):
                raise
            except ImportError as error:
                raise Misfit(f"to read it, install {self._kind.package}: {error}") from error
            except Exception as error:  # each library has errors of its own
                raise Misfit(f"the dataset {value.uri!r} cannot be read as {format_}: {error}") from error


for _kind in KINDS.values():
    for _format in ("parquet", "csv"):
        StructuredDatasetTransformerEngine.register(FileEncoder(_kind, _format), override=True)
        StructuredDatasetTransformerEngine.register(FileDecoder(_kind, _format), override=True)
