"""Small protocols in the words of the domain, one for each outside thing.

Apart from their adapters so that `activities` and `control` know neither Temporal, SQL nor processes. Each port has
one contract suite (`tests/contract`) that runs on the shipped fake (`testing`) and on every real adapter.
"""
