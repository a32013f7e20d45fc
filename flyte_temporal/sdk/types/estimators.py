"""scikit-learn estimators, torch modules and tensors: types that are known, and are bytes for their library alone.

Without a warning, because there is no better form for them. Neither library is imported before a value is met.
"""

from __future__ import annotations

from typing import IO, Any

from flyte_temporal.sdk.types.converter import Converter, Converters, TypeFamily, misfit
from flyte_temporal.sdk.types.opaque import Codec, dotted, opaque_converter, refuse_pickles
from flyte_temporal.sdk.types.pickles import dump, load


class Estimators(TypeFamily):
    """Classes derived from scikit-learn's `BaseEstimator`, pipelines among them; pickled."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is an estimator, without importing scikit-learn."""
        return _derives(python_type, "sklearn", "BaseEstimator")

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one class."""
        refuse_pickles(python_type.__name__, "known")
        return _instances(Codec("sklearn", dump, load), python_type)


class Tensors(TypeFamily):
    """`torch.Tensor`; read with `weights_only`, which runs no code of the file's."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a tensor class, without importing torch."""
        return _derives(python_type, "torch", "Tensor")

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one class."""
        return _instances(Codec("torch", _torch_save, _torch_weights, of_python=False), python_type)


class TorchModules(TypeFamily):
    """Classes derived from `torch.nn.Module`; pickled as a whole by torch, and loaded onto the CPU."""

    def matches(self, python_type: Any) -> bool:
        """Return whether it is a module class, without importing torch."""
        return _derives(python_type, "torch", "Module")

    def converter(self, python_type: Any, engine: Converters) -> Converter:  # noqa: ARG002 - nothing inside
        """Compile for one class."""
        refuse_pickles(python_type.__name__, "known")
        return _instances(Codec("torch-module", _torch_save, _torch_pickle), python_type)


def _derives(python_type: Any, package: str, name: str) -> bool:
    return isinstance(python_type, type) and any(
        base.__name__ == name and base.__module__.partition(".")[0] == package for base in python_type.__mro__
    )


def _instances(codec: Codec, cls: type) -> Converter:
    def check(value: Any) -> None:
        if not isinstance(value, cls):
            raise misfit(cls.__name__, value)

    return opaque_converter(codec, dotted(cls), check, lambda value: isinstance(value, cls))


def _torch_save(value: Any, stream: IO[bytes]) -> None:
    import torch

    torch.save(value, stream)


def _torch_weights(stream: IO[bytes]) -> Any:
    import torch

    return torch.load(stream, map_location="cpu", weights_only=True)


def _torch_pickle(stream: IO[bytes]) -> Any:
    import torch

    return torch.load(stream, map_location="cpu", weights_only=False)
