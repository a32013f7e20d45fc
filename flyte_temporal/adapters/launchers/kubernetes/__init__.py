"""`kubernetes`: a pod per attempt, on one of the clusters of the settings.

`launcher` keeps the contract of `ports.launcher`; `pods` says what a pod looks like, `looks` what the cluster's word about
one means, `creating` what the answers to a create mean, `reflector` keeps the newest state of all pods, `api` is the small
protocol that they speak, `client` its one implementation. Only `client` imports the Kubernetes library, on use.
"""
