"""Frozen documents that every other part of the house exchanges: types, literals, entities, runs, calls.

No I/O and nothing but pydantic: the package passes whole through Temporal's workflow sandbox and is imported in
every task container. Who calls it: everybody. Read in this order: `identifiers`, `types`, `literals`, `interface`,
`bindings`, `nodes`, `entities`, `execution`, `attempt`, `calls`.
"""
