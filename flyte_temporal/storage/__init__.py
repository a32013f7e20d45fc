"""Where bytes are kept: the blob store over fsspec, code bundles, log chunks, and the scratch folders of attempts.

Called by `runtime` (in every task process and container), `activities`, `control` and the launchers. Apart from
`adapters` because a task container has it too: nothing here needs more than pydantic and fsspec. Read `blobs` first.
"""
