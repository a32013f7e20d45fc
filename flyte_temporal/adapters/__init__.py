"""Adapters: one outside thing each, behind a port. Launchers, the metadata store, Temporal.

Picked only by the composition roots (`worker`, `local`, `server`). Apart so that a test, or another product, can put
something else in their place; each passes the contract suite of its port (`tests/contract`).
"""
