"""Attempts in containers of this machine, by the command line of podman or docker, which both keep stable.

`plan` says what is asked for (pure), `engine` asks, `launcher` keeps the promise of `ports.launcher`, by `beginnings` and
`watching`: every state is derived anew from what the engine shows, so that it does not matter who started a container. Read
`launcher` first.
"""
