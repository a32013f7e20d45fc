"""Migrations of the metadata store, oldest first in `versions`; run by `upgrade`, never by hand.

Apart from the tables themselves because a migration, once released, never changes.
"""
