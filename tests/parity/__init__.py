"""One suite for both ways of running: each feature is a user's file in `cases/`, run plainly and durably.

`cases/NAME.py` is what a user writes; `cases/NAME.toml` states what its runs give. See `case.py` for the fields.
"""
