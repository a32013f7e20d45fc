"""`flyte-temporal port`: flytekit sources rewritten in place for this library.

`names` is the table of what becomes of which name and `notes` that of what behaves differently; `survey` finds the uses
in one file, `rewrite` changes its text, `files` reads and writes, `command` is the command. libcst (the extra `port`) is
imported by `survey` and `rewrite` alone: it keeps comments and formatting, and only this command needs it.
"""
