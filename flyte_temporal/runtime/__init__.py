"""What runs inside a task's process or container: read the order, call the user's task, leave a manifest.

`python -m flyte_temporal.runtime` runs one attempt under a small supervisor; `python -m flyte_temporal.runtime.zygote`
is the fork server of the warm pool, a fork of `…runtime.stem` where that may be. All are started by launchers, never imported by the platform. Apart from the
rest because it needs the base dependencies only. Read `attempt` first, then `supervisor`, `stem`, `zygote`, `warm`.
"""
