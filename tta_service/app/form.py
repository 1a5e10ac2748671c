"""How the image tower runs where the settings say `auto`: measured once for a machine, a model and a version.

What was found is remembered in the user's cache directory, and measured again when anything changes that it depends on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import torch
from joblib import cpu_count  # pyright: ignore[reportMissingTypeStubs]

from ..clip.load import find_device
from ..clip.tuning import Form, Measurement, Search, choose
from ..settings import Settings

log = logging.getLogger(__name__)
SECONDS = 10.0  # that the first start measures
PRECISIONS = {"cpu": ("float32", "bfloat16", "int8")}  # that it tries; other devices have `HALF`
HALF = ("float32", "bfloat16", "float16")
ALL_RUNTIMES = ("eager", "compile", "openvino", "onnxruntime")  # that `tta-service tune` tries
FILES = ("checkpoint", "config")


def make_search(settings: Settings, runtimes: Sequence[str] = ("eager",)) -> Search:
    """The forms that these settings leave open. Raises `CannotLoad` for a device that cannot be used."""
    model, cores = settings.model, settings.lanes.cores or int(cpu_count())
    return Search(
        {name: getattr(model, name) for name in ("name", "pretrained", *FILES, "plugin", "device", "compress")},
        list(PRECISIONS.get(find_device(model.device).type, HALF)) if model.precision == "auto" else [model.precision],
        list(runtimes) if model.runtime == "auto" else [model.runtime],
        [cores] if settings.lanes.cores else sorted({1, cores}),
    )


def find_form(settings: Settings, seconds: float = SECONDS) -> Form:
    """The remembered form, else the fastest that agrees with float32 of those that can be measured in that time.

    Where nothing could be measured it is float32, or the precision that is set; loading says what is wrong with a
    model. A search that did not end is not remembered. Raises as `make_search`.
    """
    search, remembered = make_search(settings), make_search(settings, ALL_RUNTIMES)  # which `tune` may have written
    file = _file_of(settings)
    with suppress(OSError, ValueError):
        best = Measurement.from_json(file.read_text())
        if best.form in remembered.forms() and choose(remembered, [best]):
            log.info("%s, as measured earlier (%s)", describe(best), file)
            return best.form
    found, complete = measure(search, seconds)
    best = choose(search, found)
    if best is None:
        usual = Form(search.precisions[0], search.runtimes[0], 0)
        log.warning("nothing could be measured within %g s, so it is %s by %s", seconds, usual.precision, usual.runtime)
        return usual
    log.info("%s, the fastest of %d%s", describe(best), len(found), "" if complete else " measured in time")
    if complete:
        _remember(settings, best)
    return best.form


def tune(settings: Settings, seconds: float) -> tuple[list[Measurement], Measurement | None]:
    """Measures all precisions and runtimes that the settings leave open, and remembers the best for the next start.

    What was measured, and the best of it. A search that takes longer is remembered as far as it came.
    """
    search = make_search(settings, ALL_RUNTIMES)
    found, _ = measure(search, seconds)
    if best := choose(search, found):
        _remember(settings, best)
    return found, best


def measure(search: Search, seconds: float) -> tuple[list[Measurement], bool]:
    """What a process of its own measured in that time, and whether it came to an end."""
    command = [sys.executable, "-m", "tta_service.clip.tuning"]
    given = json.dumps(search.__dict__)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            lines, _ = process.communicate(given, timeout=seconds)
            complete = process.returncode == 0
        except subprocess.TimeoutExpired:
            process.kill()
            lines, _ = process.communicate()
            complete = False
    found: list[Measurement] = []
    for line in lines.splitlines():
        with suppress(ValueError):  # the last line may be half of one
            found.append(Measurement.from_json(line))
    return found, complete


def _remember(settings: Settings, best: Measurement) -> None:
    """Writes what was found; a cache that cannot be written is no error."""
    file = _file_of(settings)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(best.to_json())
        part.replace(file)
    except OSError as error:
        log.warning("what was measured cannot be remembered: %s", error)


def describe(measured: Measurement) -> str:
    """For people."""
    form, most = measured.form, max(measured.rates)
    threads = f"{form.threads} thread{'s' * (form.threads > 1)}"
    speed = f"{measured.rates[most]:.0f} rows a second of {most}"
    agreement = f"cosine with float32 at least {measured.cosine:.4f}, equal answers {measured.equal:.0%}"
    return f"{form.precision} by {form.runtime} on {threads}: {speed}, {agreement}"


def _file_of(settings: Settings) -> Path:
    """Depends on all that the measurement does: the machine, the model with its files, the versions."""
    model = settings.model.model_dump(exclude={"served_name", "reducers"})
    machine = platform.node(), platform.machine(), _processor(), os.cpu_count(), settings.lanes.cores
    stats = [Path(path).stat() for name in FILES if (path := model[name]) and Path(path).exists()]
    stamps = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
    versions = version("tta-service"), torch.__version__
    key = hashlib.sha256(repr((machine, model, stamps, versions)).encode()).hexdigest()[:32]
    return _cache() / "tta-service" / f"form-{key}.json"


def _cache() -> Path:
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return Path(os.devnull)  # where nothing can be written


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line
    return platform.processor()
