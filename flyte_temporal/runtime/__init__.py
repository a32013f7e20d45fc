"""What runs inside a task's process or container: read the order, call the user's task, leave a manifest.

`python -m flyte_temporal.runtime` runs one attempt under a small supervisor; `python -m flyte_temporal.runtime.zygote`
is the fork server of the warm pool. Both are started by launchers, never imported by the platform. Apart from the
rest because it needs the base dependencies only. Read `attempt` first, then `supervisor`, `zygote`, `warm`.
"""
