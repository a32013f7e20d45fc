"""Temporal activities: a call's request in, port calls with heartbeats, errors translated, the response out. Thin.

Registered by the composition root of a worker; asked for by the interpreter, by name (`spec.calls`). Apart from
`adapters` because they know Temporal but no launcher, store or database in particular.
"""
