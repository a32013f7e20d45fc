"""One file a migration, `vNNNN_subject.py`."""
