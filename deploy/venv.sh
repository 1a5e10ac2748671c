#!/bin/sh
# Makes .venv and installs this project into it: `deploy/venv.sh demo` or `deploy/venv.sh dev`.
# uv when it can be had (from PATH, else from PyPI), pip otherwise. PYTHON names the interpreter, default python3.
set -eu
extra=$1
python=${PYTHON:-python3}
stamp=.venv/.installed-$extra
say() { printf '%s\n' "$*" >&2; }

command -v "$python" >/dev/null 2>&1 || { say "no $python here: install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "$("$python" -V) is too old: Python 3.11 or newer is needed (set PYTHON=python3.12, say)"; exit 1; }

if [ ! -x .venv/bin/python ]; then
    if command -v uv >/dev/null 2>&1; then
        uv venv -q --python "$(command -v "$python")" .venv
    elif "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        "$python" -m venv .venv
    else
        say "this $python has neither venv nor pip: install them (Debian: apt-get install python3-venv python3-pip) or uv"
        exit 1
    fi
fi

if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
    # torch with its CUDA libraries is the large part; the CPU build is a fifth of it.
    need=8000000; [ "${UV_TORCH_BACKEND:-}" = cpu ] && need=2500000
    free=$(df -Pk . | awk 'NR==2 {print $4}')
    [ "$free" -ge "$need" ] || { say "$((free / 1000)) MB free here, $((need / 1000)) MB needed (UV_TORCH_BACKEND=cpu needs 2500 MB)"; exit 1; }
fi

if command -v uv >/dev/null 2>&1; then
    uv=uv
elif .venv/bin/python -m pip install -q --disable-pip-version-check uv >/dev/null 2>&1; then
    uv=.venv/bin/uv
else
    uv=
fi
say "installing into .venv (about 5 GB with CUDA, 1 GB with UV_TORCH_BACKEND=cpu) …"
if [ -n "$uv" ]; then
    "$uv" pip install -q --python .venv/bin/python -e ".[$extra]" -e "clients/python[camera]"
else
    .venv/bin/python -m pip install -q --disable-pip-version-check -e ".[$extra]" -e "clients/python[camera]"
fi
touch "$stamp"
