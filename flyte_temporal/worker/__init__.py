"""The worker process: `python -m flyte_temporal.worker`. A composition root: it picks adapters and joins them.

Started by the local stack, or by a Deployment in production; configured by the environment (`config.settings`).
"""
