"""Data of containers without our runtime: inputs as files before them, outputs from files and a manifest after them.

`python -m flyte_temporal.runtime.io download KEY --to DIR`, then `… upload KEY --from DIR`. On Kubernetes the first is an
init container and the second a sidecar; podman's launcher calls both on its own machine. Apart from `runtime.attempt`
because no code of the user's is loaded here, and values are handled by their types in the spec alone. Read `inputs` first.
"""
