"""Kubernetes' quantities (`500m`, `2Gi`, `1e3`) as numbers. Pure; one reader for authors, launchers and interpreter."""

from __future__ import annotations

import re

_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(m|[kMGTPE]|[KMGTPE]i|[eE]\d+)?")
_SUFFIXES = {"": 1.0, "m": 1e-3} | {s: 1000.0**i for i, s in enumerate("kMGTPE", 1)}
_SUFFIXES |= {f"{s}i": 1024.0**i for i, s in enumerate("KMGTPE", 1)}


def amount(text: str) -> float | None:
    """Return the number that a quantity stands for; None if it is not one."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    suffix = match[2] or ""
    if suffix[:1] == "e" or suffix[1:].isdigit():
        return float(text)
    return float(match[1]) * _SUFFIXES[suffix]


def raised(memory: str, factor: float, most: str) -> str:
    """Return an amount of memory times a factor, in whole MiB, and at most as much as the other says.

    Args:
        memory: The amount; what is no quantity is returned as it is.
        factor: The factor; below 1 nothing is raised.
        most: Upper bound; empty = none. An amount beyond it already stays.
    """
    now, bound = amount(memory), amount(most)
    if not now or factor <= 1:
        return memory
    wanted = now * factor
    if bound is not None and wanted >= bound:
        return most if bound > now else memory
    return f"{max(1, round(wanted / 1024**2))}Mi"
