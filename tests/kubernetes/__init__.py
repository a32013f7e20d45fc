"""Tests on a real Kubernetes cluster: `make test-k8s`."""
