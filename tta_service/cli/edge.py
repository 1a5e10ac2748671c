"""The command `export-edge`: the image tower as one file for devices without torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import BadRequest
from ..strategies import catalogue as strategies
from .options import Configure, configure_command


@configure_command
def export_edge(
    configure: Configure,
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", show_default=False, help="The file to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights of a quarter or half of their bytes.")] = False,
) -> None:
    """Write the image tower for `tta-camera --encode-on-device --checkpoint FILE.onnx`, which needs no torch.

    The service takes its features if it has the same model.
    """
    if file.suffix != ".onnx":
        raise BadRequest(f"{file} must end in .onnx, by which tta-camera knows it", "file")
    model = configure({"model.device": "cpu"}).model
    from ..app.edge_export import COSINE, EQUAL  # imports torch for seconds, so mistakes come first
    from ..app.edge_export import export_edge as export
    from ..clip.load import load

    chosen: dict[str, Any] = model.model_dump(exclude={"reducers"}) | {"device": "cpu"}
    if model.precision == "auto":  # whatever it takes agrees with this
        chosen |= {"precision": "float32", "runtime": "eager"}
    clip = load(**chosen, exportable=True)
    written = export(clip, strategies, file, int8=int8)
    alike = f"{written.equal:.1%} of answers to {written.rows} views as {clip.name} has them"
    least = f"cosine {written.cosine:.5f} at the least"
    print(f"{file}: {written.size / 1e6:.1f} MB, {alike}, {least}, fingerprint {clip.fingerprint}")
    if not written.agrees:
        why = f"less than {EQUAL:.1%} of answers, or a cosine below {COSINE}"
        print(f"tta-service: {why}: cameras with this file answer otherwise than the service", file=sys.stderr)
