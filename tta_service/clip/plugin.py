"""Code of the operator's own that registers towers, or builds a whole model."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from open_clip.factory import load_checkpoint
from torch import nn

from . import CannotLoad, wrap_errors
from .weights.checkpoint import LoadedModel

NEEDS = "visual", "encode_image", "encode_text", "logit_scale"


def run_plugin(plugin: str, checkpoint: str = "") -> LoadedModel | None:
    """Call `plugin`, "MODULE:FUNCTION"; a module may lie in the working directory. Raises `CannotLoad`.

    A function that returns None has registered what a configuration names, such as a tower with timm's
    `register_model`. One that returns a model like open_clip's and its tokenizer has built the model; the weights of
    `checkpoint` are loaded into it.
    """
    module, _, function = plugin.partition(":")
    if not module or not function:
        raise CannotLoad(f"write the plug-in as MODULE:FUNCTION, not {plugin!r}", "plugin")
    with wrap_errors(f"the plug-in {plugin} failed", "plugin"):
        made: Any = getattr(_import(module), function)()
    if made is None:
        return None
    loaded = _check_model(made, plugin)
    if checkpoint:
        with wrap_errors(f"{checkpoint} does not fit the model of {plugin}", "checkpoint"):
            load_checkpoint(loaded.model, checkpoint)
    return loaded


def _check_model(made: Any, plugin: str) -> LoadedModel:
    if not (isinstance(made, tuple) and len(made) == 2 and callable(made[1])):
        raise CannotLoad(f"the plug-in {plugin} returns neither None nor a model and its tokenizer", "plugin")
    model, tokenizer = made
    lacking = [name for name in NEEDS if not hasattr(model, name)]
    if lacking or not isinstance(model, nn.Module):
        what = f"lacks {', '.join(lacking)}" if lacking else "is not a module of PyTorch"
        raise CannotLoad(f"the model of the plug-in {plugin} {what}", "plugin")
    return LoadedModel(model, tokenizer)


def _import(module: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # last, so that no file of this folder takes the place of a library
    return importlib.import_module(module)
