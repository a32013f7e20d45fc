"""The embedded stack: one background process that keeps a Temporal server and a worker alive and answers on a socket.

`python -m flyte_temporal.local` is the supervisor (`supervisor`, `stack`, `children`, `host`); `connection` is the light
half, which `client` uses to reach it and to start it on demand. Apart from `server` because it owns the processes of
this machine; a composition root like it, so it may pick adapters (`wiring`). Read `layout`, `supervisor`, `host`.
"""
