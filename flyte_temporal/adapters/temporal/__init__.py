"""Temporal as an outside thing: connection, payload conversion with claim checks, and the `Engine` port.

Used by the composition roots (`worker`, `local`, `server`). Apart because nothing else but `workflows` and
`activities` may know that the engine is Temporal.
"""
