"""The use cases: register, start, get, list, wait, watch, logs, abort, reconcile.

Called by `local` (embedded stack) and, later, by the server's routes. Apart from both so that a request means the same
whichever way it came. Knows ports only: neither Temporal, nor SQL, nor sockets. Read `usecases` first.
"""
