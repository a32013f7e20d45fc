"""flytekit's names for files of well-known formats: `CSVFile` is `FlyteFile["csv"]`, and so on.

The format is a name: nothing looks into the file. Users import these from the package root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flyte_temporal.sdk.types.directory import FlyteDirectory
from flyte_temporal.sdk.types.file import FlyteFile


class FileExt:
    """A format with a dot inside: `FlyteFile[Annotated[str, FileExt("tar.gz")]]`; `FlyteFile["tar.gz"]` is the same.

    Args:
        ext: The format.
    """

    def __init__(self, ext: str) -> None:
        self._ext = ext

    def __str__(self) -> str:
        return self._ext

    def __repr__(self) -> str:
        return self._ext

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileExt) and self._ext == other._ext

    def __hash__(self) -> int:
        return hash(self._ext)


if TYPE_CHECKING:
    CSVFile = FlyteFile[Any]
    HDF5EncodedFile = FlyteFile[Any]
    HTMLPage = FlyteFile[Any]
    JPEGImageFile = FlyteFile[Any]
    JSONLFile = FlyteFile[Any]
    JoblibSerializedFile = FlyteFile[Any]
    ONNXFile = FlyteFile[Any]
    PDFFile = FlyteFile[Any]
    PNGImageFile = FlyteFile[Any]
    PythonNotebook = FlyteFile[Any]
    PythonPickledFile = FlyteFile[Any]
    SVGImageFile = FlyteFile[Any]
    TFRecordFile = FlyteFile[Any]
    TFRecordsDirectory = FlyteDirectory[Any]
    TensorboardLogs = FlyteDirectory[Any]
else:
    CSVFile = FlyteFile["csv"]
    HDF5EncodedFile = FlyteFile["hdf5"]
    HTMLPage = FlyteFile["html"]
    JPEGImageFile = FlyteFile["jpeg"]
    JSONLFile = FlyteFile["jsonl"]
    JoblibSerializedFile = FlyteFile["joblib"]
    ONNXFile = FlyteFile["onnx"]
    PDFFile = FlyteFile["pdf"]
    PNGImageFile = FlyteFile["png"]
    PythonNotebook = FlyteFile["ipynb"]
    PythonPickledFile = FlyteFile["python_pickle"]
    SVGImageFile = FlyteFile["svg"]
    TFRecordFile = FlyteFile["tfrecord"]
    TFRecordsDirectory = FlyteDirectory["tfrecords_dir"]
    TensorboardLogs = FlyteDirectory["tensorboard"]
