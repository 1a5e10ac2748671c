"""The service runs without torch's compiler, and what it holds back is as good as the real thing afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SERVES = """
import io, json, sys
from PIL import Image
from tta_service import load
from tta_service.core.catalogue import strategies
import tta_service.app.server

picture = io.BytesIO()
Image.effect_noise((64, 64), 90).convert("RGB").save(picture, "PNG")
with load("pocket") as model:
    for name in strategies.names():
        if name == "zero_shot" or strategies.build(name).needs().gradient:
            model.classify([picture.getvalue()], ["cat", "dog"], name)
unwanted = "torch._dynamo", "sympy", "scipy.optimize", "triton.compiler"
print(json.dumps([name for name in unwanted if name in sys.modules]))
"""

AFTERWARDS = """
import json, sys
import tta_service.clip.model  # imports torchvision and timm
before = "torch._dynamo" in sys.modules
import torch, torchvision

boxes = torchvision.ops.roi_align(torch.arange(16.0).reshape(1, 1, 4, 4), [torch.tensor([[0.0, 0, 2, 2]])], 1)
import torch._dynamo.utils

compiled = torch.compile(lambda x, call: call(x) + 1, backend=lambda graph, _: graph, fullgraph=True)


def plain(x):
    return x * 2


def refuses(call):
    try:
        return compiled(torch.ones(2), call).tolist()
    except torch._dynamo.exc.Unsupported as error:
        return "disable" in str(error)


from tta_service.clip.import_hook import disable

print(json.dumps({
    "before": before,
    "boxes": boxes.flatten().tolist(),
    "real": torch._dynamo.utils.is_compile_supported("cpu"),
    "supported": sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu"),
    "compiled": refuses(plain),
    "disabled": refuses(disable(plain)),
    "really disabled": refuses(torch.compiler.disable(plain)),
    "runs": disable(plain)(torch.ones(2)).tolist(),
}))
"""

MEANWHILE = """
import json, sys
import tta_service.clip
from tta_service.clip import import_hook

name, folder = sys.argv[1:]
import_hook.TAKEN["takes"] = next(taken for taken in import_hook.TAKEN.values() if taken[0] == name)
sys.path.insert(0, folder)
import takes

print(json.dumps([*takes.found, all(hasattr(sys.modules[part], "__file__") for part in (name, "torch._dynamo"))]))
"""
TAKES = """
import threading

found = []


def look():
    import torch._dynamo.config
    from torch._dynamo.utils import counters

    found.extend([torch._dynamo.config.__name__, type(counters).__name__])


other = threading.Thread(target=look)
other.start()
other.join()
"""


def run(program: str, *arguments: str) -> object:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_no_strategy_needs_the_compiler_not_even_for_gradients():
    assert run(SERVES) == []


@pytest.mark.slow
def test_the_compiler_is_there_for_whoever_wants_it_afterwards():
    found = run(AFTERWARDS)
    assert isinstance(found, dict) and not found.pop("before")
    assert found.pop("real") == found.pop("supported")
    assert found == {
        "boxes": [5.0],
        "compiled": [3.0, 3.0],
        "disabled": True,
        "really disabled": True,
        "runs": [2.0, 2.0],
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch._dynamo", "torch._dynamo.utils"])
def test_another_thread_has_the_compiler_meanwhile(tmp_path: Path, name: str):
    (tmp_path / "takes.py").write_text(TAKES)
    assert run(MEANWHILE, name, str(tmp_path)) == ["torch._dynamo.config", "defaultdict", True]
