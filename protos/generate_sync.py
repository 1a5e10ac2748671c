"""Writes the synchronous client from the one for asyncio; `--check` proves the committed files equal.

`unasync` drops `async` and `await` and renames what NAMES says; ruff brings the result into the project's form.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import tokenize_rt
import unasync

CLIENT = Path(__file__).resolve().parent.parent / "clients/python/tta_client"
FILES = ("admin.py", "call.py", "client.py", "connection.py", "lessons.py", "results.py", "sender.py", "stream.py")
CLASSES = (
    "Admin",
    "Call",
    "Client",
    "Connection",
    "Lessons",
    "Registry",
    "Results",
    "Sender",
    "Stream",
    "StreamTransport",
)
NAMES = {
    **{f"Async{name}": name for name in CLASSES},
    "aclose": "close",
    "aiter": "iter",
    "anext": "next",
}
HEAD = '"""Generated from aio/{name} by protos/generate_sync.py (`make proto`); not edited."""\n'


def main() -> int:
    stale = [name for name in FILES if not write(CLIENT / "sync" / name, generate(name), "--check" in sys.argv[1:])]
    for name in stale:
        print(f"sync/{name} is not what aio/{name} generates: run `make proto`", file=sys.stderr)
    return 1 if stale else 0


def write(path: Path, text: str, check: bool) -> bool:
    """Writes the file, or with `check` only says whether it holds that text."""
    if not check:
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8") == text


def generate(name: str) -> str:
    """The synchronous twin of a file of `aio/`."""
    source = (CLIENT / "aio" / name).read_text(encoding="utf-8")
    source = re.sub(r"Awaitable\[([\w.]+)\]", r"\1", source)
    source = re.sub(r"  # noqa: ASYNC\d+.*", "", source)
    tokens: Any = unasync.Rule("aio", "sync", NAMES)._unasync_tokens(tokenize_rt.src_to_tokens(source))
    _, body = tokenize_rt.tokens_to_src(tokens).split("\n", 1)  # without the docstring of the other file
    fixes = ("check", "--fix", "--unsafe-fixes", "--select=F401,I,UP028")  # unused imports, their order, `yield from`
    return ruff("format", ruff(*fixes, HEAD.format(name=name) + body, name), name)


def ruff(*words: str) -> str:
    """Runs a command of ruff on the text before the last word, which is the file's name."""
    *command, text, name = words
    path = CLIENT / "sync" / name
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--quiet", f"--stdin-filename={path}", "-"],
        input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
