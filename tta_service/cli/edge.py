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
    int8: Annotated[bool, typer.Option("--int8", help="Weights in a quarter of the bytes.")] = False,
) -> None:
    """Write the image tower for `tta-camera --encode-on-device --checkpoint FILE.onnx`, which needs no torch.

    The service takes its features if it has the same model.
    """
    if file.suffix != ".onnx":
        raise BadRequest(f"{file} must end in .onnx, by which tta-camera knows it", "file")
    model = configure({"model.device": "cpu"}).model
    from ..app.edge_export import ALIKE  # imports torch for seconds, so mistakes come first
    from ..app.edge_export import export_edge as export
    from ..clip.load import load

    chosen: dict[str, Any] = model.model_dump(exclude={"reducers"}) | {"device": "cpu"}
    if model.precision == "auto":  # whatever it takes agrees with this
        chosen |= {"precision": "float32", "runtime": "eager"}
    clip = load(**chosen, exportable=True)
    written = export(clip, strategies, file, int8=int8)
    likeness = f"cosine {written.cosine:.5f} to the features of {clip.name} over {written.rows} random views"
    print(f"{file}: {written.size / 1e6:.1f} MB, {likeness}, fingerprint {clip.fingerprint}")
    if written.cosine < ALIKE:
        print(f"tta-service: a cosine below {ALIKE} can change answers; compare them", file=sys.stderr)
