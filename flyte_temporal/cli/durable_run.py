"""`run` on the durable engine: hand over the closure, the inputs and the code, then follow."""

from __future__ import annotations
