"""Ends a process that cannot end itself, because a thread of it holds the interpreter.

Python runs signal handlers between two instructions of the main thread, so SIGTERM would wait as long as a call into C
that keeps the interpreter lock. faulthandler's handler is C and needs no lock: it writes to a pipe, and the child
process at its other end kills.
"""

from __future__ import annotations

import faulthandler
import subprocess
import sys
from collections.abc import Iterable
from signal import Signals

# Started without site-packages, it takes some 10 ms and 8 MB. It reads until the pipe is closed, as it is when the
# parent has ended. Each signal is one dump, which begins with the current thread.
_CHILD = """
import os, select, signal, sys, time
parent, seconds, dump, end = os.getppid(), float(sys.argv[1]), b"", None
while True:
    wait = None if end is None else max(0, end - time.monotonic())
    if not select.select([0], [], [], wait)[0]:
        sys.stderr.write(f"the process did not end within {seconds:g} s and is killed; it was here:\\n")
        sys.stderr.write(dump.decode(errors="replace"))
        sys.stderr.flush()
        if os.getppid() == parent:
            os.kill(parent, signal.SIGKILL)
        break
    more = os.read(0, 65536)
    if not more:
        break
    dump += more
    end = time.monotonic() + 1 if dump.count(b"first):") > 1 else end or time.monotonic() + seconds
"""


def kill_after(signals: Iterable[Signals], seconds: float) -> None:
    """Let the process be killed `seconds` after one of these signals if it has not ended by then; one second after a
    second signal. Call it after the handlers of the signals are set: they are called as before.
    """
    if not hasattr(faulthandler, "register"):  # Windows
        return
    command = [sys.executable, "-I", "-S", "-c", _CHILD, str(seconds)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # no Ctrl-C reaches it
    assert child.stdin is not None
    for one in signals:
        faulthandler.register(one, file=child.stdin, all_threads=False, chain=True)
