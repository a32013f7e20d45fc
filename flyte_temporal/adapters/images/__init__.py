"""Builders of declared images (`ImageSpec`): `recipe` writes the Containerfile (pure), `building` calls podman or docker.

Called by the client, before an execution starts whose tasks run in containers.
"""
