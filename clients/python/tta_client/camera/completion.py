"""Shell completion of tta-camera, by argcomplete."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from .extras import import_package

SHELLS = "bash", "zsh", "fish", "powershell"


class ShowCompletion(argparse.Action):
    """Prints the script that makes a shell complete the command, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        try:
            argcomplete = import_package("argcomplete", "argcomplete", "completion")
        except OSError as error:
            parser.error(str(error))
        print(argcomplete.shellcode([parser.prog], shell=values))
        parser.exit()


def complete_words(build_parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Answers a shell that asks for completions, and ends the process; returns when none asks."""
    if "_ARGCOMPLETE" in os.environ:
        import_package("argcomplete", "argcomplete", "completion").autocomplete(build_parser())
