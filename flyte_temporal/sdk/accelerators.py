"""Kinds of GPUs and TPUs, flytekit's names: `@task(accelerator=T4, limits=Resources(gpu=1))`."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Accelerator:
    """A kind of accelerator.

    Args:
        device: Name of the device, as the cluster's nodes are labelled.
        partition: Part of a GPU that can be divided, such as `2g.10gb`; empty = not divided.
    """

    device: str
    partition: str = ""

    @property
    def unpartitioned(self) -> Accelerator:
        """The whole device."""
        return replace(self, partition="")

    def partitioned(self, size: str) -> Accelerator:
        """Return a part of the device, such as `2g.10gb`."""
        return replace(self, partition=size)


class GPUAccelerator(Accelerator):
    """A GPU of some name: `GPUAccelerator("nvidia-tesla-v100")`."""


class TPUAccelerator(Accelerator):
    """A slice of TPUs: `TPUAccelerator("tpu-v5-lite-podslice", "2x4")`; the partition is the topology."""


class _MultiInstanceGPU(GPUAccelerator):
    """A GPU that can be divided; `A100.partition_2g_10gb` is a part of it."""

    def __getattr__(self, name: str) -> Accelerator:
        if not name.startswith("partition_"):
            raise AttributeError(f"{self.device} has no {name!r}; its parts are written partition_2g_10gb.")
        return self.partitioned(name.removeprefix("partition_").replace("_", "."))


A10G = GPUAccelerator("nvidia-a10g")
L4 = GPUAccelerator("nvidia-l4")
L40S = GPUAccelerator("nvidia-l40s")
K80 = GPUAccelerator("nvidia-tesla-k80")
M60 = GPUAccelerator("nvidia-tesla-m60")
P4 = GPUAccelerator("nvidia-tesla-p4")
P100 = GPUAccelerator("nvidia-tesla-p100")
T4 = GPUAccelerator("nvidia-tesla-t4")
V100 = GPUAccelerator("nvidia-tesla-v100")
H200 = GPUAccelerator("nvidia-h200")
RTX_PRO_6000 = GPUAccelerator("nvidia-rtx-pro-6000")
A100 = _MultiInstanceGPU("nvidia-tesla-a100")
A100_80GB = _MultiInstanceGPU("nvidia-a100-80gb")
H100 = _MultiInstanceGPU("nvidia-h100-80gb")
V5E = TPUAccelerator("tpu-v5-lite-podslice")
V5P = TPUAccelerator("tpu-v5p-slice")
V6E = TPUAccelerator("tpu-v6e-slice")
