"""`Readings` as a dataset of the format `lines`: one place and its temperature in each line."""

from __future__ import annotations

from pathlib import Path

from flyte_temporal import StructuredDataset, StructuredDatasetDecoder, StructuredDatasetEncoder
from flyte_temporal.sdk.types import stored
from flyte_temporal.sdk.types.converter import ValueContext
from flyte_temporal.spec.literals import DatasetValue, FileValue
from flyte_temporal.spec.types import DatasetType
from flyte_temporal_celsius import Readings


class ReadingsEncoder(StructuredDatasetEncoder[Readings]):
    def encode(
        self,
        context: ValueContext,
        structured_dataset: StructuredDataset,
        structured_dataset_type: DatasetType,
    ) -> DatasetValue:
        readings: Readings = structured_dataset.dataframe

        def write(path: Path) -> None:
            path.write_text("".join(f"{place}\t{degrees}\n" for place, degrees in readings.by_place.items()))

        file = stored.store(write, "readings.lines", "lines", context)
        return DatasetValue(uri=file.uri, format="lines", rows=len(readings.by_place), sha256=file.sha256)


class ReadingsDecoder(StructuredDatasetDecoder[Readings]):
    def decode(
        self, context: ValueContext, flyte_value: DatasetValue, structured_dataset_type: DatasetType
    ) -> Readings:
        file = FileValue(uri=flyte_value.uri, sha256=flyte_value.sha256)
        with stored.fetched(file, context, "readings") as path:
            lines = [line.split("\t") for line in path.read_text().splitlines()]
        return Readings({place: float(degrees) for place, degrees in lines})


encoder = ReadingsEncoder(Readings, supported_format="lines")
decoder = ReadingsDecoder(Readings, supported_format="lines")
