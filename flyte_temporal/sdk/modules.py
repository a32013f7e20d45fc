"""Files ↔ dotted module names, by one rule: the source root of a file is the nearest folder without `__init__.py`.

Used when a task is named, when a file is loaded, and when code is bundled, so that all three agree.
"""

from __future__ import annotations

import sys
from pathlib import Path


def source_root(file: Path) -> Path:
    """Return the folder from which a file's module is imported: the nearest one above it without `__init__.py`."""
    folder = file.resolve().parent
    while (folder / "__init__.py").exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def module_name(file: Path) -> str:
    """Return the dotted name of a file's module, relative to its source root."""
    resolved = file.resolve()
    parts = list(resolved.relative_to(source_root(resolved)).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


def main_module_name() -> str | None:
    """Return the dotted name by which another process imports what is `__main__` here; None if it has no file."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return module_name(Path(file)) if file else None
