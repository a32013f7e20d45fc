"""The interpreter: one Temporal workflow that runs any compiled closure.

Called by nobody directly: the worker registers `interpreter.Interpreter`, and Temporal runs and replays it. Apart
because its code must be deterministic: it imports only `spec`, `errors` and `temporalio`, asks for activities by name
(`spec.calls`), and takes time and randomness from Temporal. `plan`, `bindings`, `retries` and `details` are pure and
tested without a server.
"""
