"""One suite per port, which every implementation and the shipped fake pass; run by `make test`."""
