#!/bin/sh
# Print the path of a usable Python: of version $1 (such as 3.12), or, without it, of the newest one from 3.11 on.
#
# Each candidate is really run, because a pyenv shim of that name may stand on PATH without a version behind it, and
# must have venv and ensurepip, which Debian packages apart. Called by the Makefile and by .ci/run.
usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

pyenv_versions="${PYENV_ROOT:-$HOME/.pyenv}/versions"
if [ -n "$1" ]; then
    set -- "python$1" "$pyenv_versions/$1".*/bin/python3
else
    set -- python3.13 python3.12 python3.11 python3
fi

for candidate; do
    if usable "$candidate"; then
        "$candidate" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done
exit 1
