"""A sink as the command line gives it: where it delivers, and options behind `#`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from ..masking import mask_quotations, mask_secrets
from ..text import make_printable, read_lines


@dataclass(frozen=True, slots=True)
class Target:
    """`KIND:ADDRESS#NAME=VALUE&…`. A fragment, because no server is ever sent one."""

    text: str = field(repr=False)
    kind: str
    address: str = field(repr=False)  # all between the kind and the options
    options: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The address without secrets and options, for messages."""
        return name_sink(self.text)

    def number(self, name: str, default: int, least: int = 0, most: int = 65535) -> int:
        """An option that is a whole number. Raises ValueError."""
        text = self.options.get(name, str(default))
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ValueError(f"--sink {self.name}: {name} is a whole number from {least} to {most}, not {text!r}")
        return int(text)

    def secret(self, name: str) -> str:
        """An option, or the first line of the `@FILE` that it names. Raises ValueError, OSError."""
        text = self.options.get(name, "")
        if not text.startswith("@"):
            return text
        if lines := read_lines(text[1:]):
            return lines[0]
        raise ValueError(f"--sink {self.name}: {make_printable(text[1:])} is empty; its first line must hold {name}")

    def host(self, default_port: int) -> tuple[str, int, str, str]:
        """Host, port, user and password of the address. Raises ValueError."""
        text = self.address if "://" in self.address else f"//{self.address}"
        try:
            parts = urlsplit(text)
            port = default_port if parts.port is None else parts.port
        except ValueError as error:
            raise ValueError(f"--sink {self.name}: {mask_quotations(str(error))}") from None
        if not parts.hostname:
            raise ValueError(f"--sink {self.name} names no host")
        return parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or "")


def name_sink(text: str) -> str:
    """What messages call a sink: its address without secrets and options."""
    return mask_secrets(make_printable(text)).partition("#")[0]  # in this order: a password may hold a #


def parse_target(text: str, known: Mapping[str, tuple[str, ...]]) -> Target:
    """The parts of a sink's text; `known` has the options of each kind, none for those that take none.

    Raises ValueError for another kind or option.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in known:
        shown = mask_secrets(make_printable(text))
        raise ValueError(f"--sink {shown}: a sink begins with one of {', '.join(f'{one}:' for one in known)}")
    if not known[kind]:
        return Target(text, kind, rest, {})
    address, _, fragment = rest.partition("#")
    bare = Target(text, kind, f"{kind}:{address}" if address.startswith("//") else address, {})
    return replace(bare, options=_read_options(fragment, bare.name, known[kind]))


def _read_options(fragment: str, sink: str, known: tuple[str, ...]) -> dict[str, str]:
    """The options behind `#`. They are no form of a web page, in which + is a blank: it occurs in Base64."""
    options = dict[str, str]()
    for option in filter(None, fragment.split("&")):
        name, equals, value = map(unquote, option.partition("="))
        if not equals:  # it may be the rest of a secret
            raise ValueError(f"--sink {sink}: options are NAME=VALUE&…; & in a value is written %26")
        if name not in known:
            raise ValueError(f"--sink {sink} has no option {name!r}; it has {', '.join(known)}")
        options[name] = value
    return options
