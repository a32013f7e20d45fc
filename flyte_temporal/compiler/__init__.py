"""SDK objects → spec documents: `compile_entity(entity) -> Closure`, deterministic to the byte.

Called by `client` and `cli` before anything is started. Apart from `sdk`, because an attempt needs the SDK and never
compiles, and because here is the one place that decides what a program must be to become a document. Types of edges,
arguments and cycles are checked while the body is recorded (`sdk.recording`), so that plain runs refuse the same.
"""

from flyte_temporal.sdk.gather import compile_entity

__all__ = ["compile_entity"]
