#!/bin/sh
# Makes .venv and installs this project into it: `deploy/venv.sh demo` or `deploy/venv.sh dev`.
# uv when it can be had (from PATH, else from PyPI), with its own certificates, then with the system's, which know a
# company's authority; pip otherwise. PYTHON names the interpreter, default python3.
set -eu
extra=$1
python=${PYTHON:-python3}
stamp=.venv/.installed-$extra
log=.venv/install.log
failed=
say() { printf '%s\n' "$*" >&2; }

# NAME COMMAND…: runs it quietly. $failed gathers what did not work, and why: a line about certificates, else the last one
try() {
    name=$1; shift
    "$@" >"$log.last" 2>&1 && { [ -z "$failed" ] || say "$failed; $name did it"; return 0; }
    cat "$log.last" >>"$log"
    why=$({ grep -v '^hint' "$log.last" | grep -i certificate || grep -v -e '^hint' -e '^ *$' "$log.last" || echo "no word of why"; } |
        tail -n 1 | LC_ALL=C sed 's/.*certificate verify failed/certificate verify failed/; s/^[^A-Za-z]*//; s/^\(error\|ERROR\|cause\|Caused by\): *//' | cut -c 1-160)
    failed="$failed${failed:+, }$name failed ($why)"
    return 1
}

disk_space() { # KB: what torch needs, the large part. Its CPU build, which only uv finds, is a fifth of that with CUDA
    .venv/bin/python -c 'import torch' 2>/dev/null && return
    free=$(df -Pk . | awk 'NR==2 {print $4}')
    [ "$free" -ge "$1" ] || { say "$((free / 1000)) MB free here, $(($1 / 1000)) MB needed (UV_TORCH_BACKEND=cpu with uv needs 2500 MB)"; exit 1; }
}

pip() { # of .venv, where uv puts none, else that of the interpreter
    if .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null 2>&1; then
        .venv/bin/python -m pip install -q --disable-pip-version-check "$@"
    else
        "$python" -m pip --python .venv/bin/python install -q --disable-pip-version-check "$@"
    fi
}

command -v "$python" >/dev/null 2>&1 || { say "no $python here: install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "$("$python" -V) is too old: Python 3.11 or newer is needed (set PYTHON=python3.12, say)"; exit 1; }

if [ ! -x .venv/bin/python ]; then
    if "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        "$python" -m venv .venv
    elif command -v uv >/dev/null 2>&1; then
        uv venv -q --python "$(command -v "$python")" .venv
    else
        say "this $python has neither venv nor pip: install them (Debian: apt-get install python3-venv python3-pip) or uv"
        exit 1
    fi
fi

need=8000000; [ "${UV_TORCH_BACKEND:-}" = cpu ] && need=2500000
disk_space $need
say "installing into .venv (about 5 GB with CUDA, 1 GB with UV_TORCH_BACKEND=cpu) …"
: >"$log"
uv=$(command -v uv || true)
[ -n "$uv" ] || ! try "installing uv" pip uv || uv=.venv/bin/uv
set -- -e ".[$extra]" -e "clients/python[camera]"
[ -n "$uv" ] && { try uv "$uv" pip install -q --python .venv/bin/python "$@" ||
    try "uv with the system's certificates" env UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 "$uv" pip install -q --python .venv/bin/python "$@"; } ||
    { disk_space 8000000 && try pip pip "$@"; } || { say "$failed: nothing is installed; their output is in $log"; exit 1; }
rm -f "$log.last"
touch "$stamp"
