"""The peak memory of one answer of each strategy above what the service holds at rest, each measured alone."""

from __future__ import annotations

import ctypes
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, TypeAdapter, ValidationError

from ..core.catalogue import reducers, strategies
from ..core.errors import Unsupported
from ..core.labels import LabelSet
from ..core.reducer import Reduction
from ..core.request import PixelFormat, Raw, Request
from ..settings import BadSettings
from .parts import Runtime

SIDE = 256  # pixels of the image that every strategy answers


@dataclass(frozen=True, slots=True)
class Peak:
    """The peak of one strategy in bytes above rest: of the process on the CPU, of the allocator on a GPU."""

    strategy: str
    device: str
    bytes: Annotated[int, Field(ge=0)]


_PEAK = TypeAdapter(Peak)


async def measure_peaks(runtime: Runtime, classes: int = 10, names: Sequence[str] | None = None) -> AsyncIterator[Peak]:
    """The peak of each strategy (or of those in `names`) with default parameters, in a session after two frames.

    Nothing else may run meanwhile. Strategies that the model cannot run are left out. Raises OSError on a CPU whose
    kernel does not report peaks (only Linux does).
    """
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (SIDE, SIDE, 3), generator=draw, dtype=torch.uint8).numpy().tobytes()
    labels = LabelSet(tuple(f"thing {i}" for i in range(classes)))
    exact, device, engine = Reduction(reducers.build("none")), runtime.clip.device, runtime.engine.without_observer()
    for name in strategies.names() if names is None else names:
        session = f"measure-{name}"
        image = Raw(SIDE, SIDE, PixelFormat.RGB24, pixels)
        request = Request(image, labels, strategies.build(name), exact, session=session)
        try:
            for _ in range(2):  # text, activations, memories and kernels are made once and belong to the rest
                await engine.classify(request)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
                before = torch.cuda.memory_allocated(device)
                await engine.classify(request)
                rise = torch.cuda.max_memory_allocated(device) - before
            else:
                memory = RisingMemory()
                await engine.classify(request)
                rise = memory.rise()
        except Unsupported:
            continue
        finally:
            if runtime.sessions.registry.get("", session):
                runtime.sessions.close("", session)
        yield Peak(name, str(device), rise)


def dump_peaks(peaks: list[Peak]) -> str:
    """The peaks as `load_peaks` reads them: one JSON object per line."""
    return "".join(json.dumps(asdict(peak)) + "\n" for peak in peaks)


def load_peaks(file: Path) -> list[Peak]:
    """The peaks in a file of `tta-service measure`. Raises `BadSettings` for any other file or an unreadable one."""
    try:
        return [_PEAK.validate_json(line, strict=True) for line in file.read_text("utf-8").splitlines()]
    except OSError as error:
        raise BadSettings(f"metrics.peaks: cannot read {file}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        why = f"{'.'.join(map(str, first['loc'])) or 'a line'}: {first['msg']}"
        raise BadSettings(f"metrics.peaks: {file} was not written by `tta-service measure`: {why}") from None
    except ValueError as error:  # it is no text
        raise BadSettings(f"metrics.peaks: {file} was not written by `tta-service measure`: {error}") from None


class RisingMemory:
    """How far the resident memory rises above its value now. Freed memory goes back to the system first.

    Raises OSError where the kernel does not report it (only Linux does).
    """

    def __init__(self) -> None:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone keeps freed pages for later
        if trim:
            trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        self._before = _status("VmRSS")

    def rise(self) -> int:
        """Bytes from the start to the highest value since."""
        return max(0, _status("VmHWM") - self._before)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"the kernel does not report {field}")
