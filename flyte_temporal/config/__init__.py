"""Settings: the only package that reads the environment.

Called by the composition roots (`worker`, `local`, later `server`), which make settings once and pass them down, and
by `client`, which only needs the light half: `home` and `local` are standard library only and cost nothing to import;
`settings` brings pydantic-settings. Apart from everything else so that no other module depends on process state.
"""
