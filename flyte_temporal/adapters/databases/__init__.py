"""Task kinds that need a database library. Imported by user code through the package root, only when it uses them.

They stand here and not in `sdk`, because `sdk` is in every task container and must not know these libraries, not even
lazily; an adapter may, and may use `sdk` (docs/decisions/0029).
"""
