"""A machine that seems to have a GPU: what is on it has shapes, types and a device, and no numbers.

Tensors of the host are real and computed with; those of the device are torch's fake ones, which know what a kernel
would refuse: operands on two devices, of two types, of shapes that do not fit. And no number of theirs can be looked
at, as no CUDA graph could.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

GPU = torch.device("cuda", 0)


@dataclass
class Seen:
    """What happened on the device."""

    operations: list[str] = field(default_factory=list)
    uploads: list[int] = field(default_factory=list)  # bytes of each tensor that came from the host
    downloads: list[int] = field(default_factory=list)  # and that went back
    held: int = 0  # bytes now
    most: int = 0  # bytes at once


class _FakeGPU(TorchDispatchMode):
    """Comes before torch's own mode, and takes the host's work away from it."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen, self.known = seen, set[int]()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        here, there = torch.device(kwargs.get("device") or "cpu").type == "cuda", any(map(_on_gpu, given))
        if not (here or there or any(isinstance(x, FakeTensor) for x in given)):
            with unset_fake_temporarily():
                pinned = operation is torch.ops.aten._pin_memory.default
                return args[0].clone() if pinned else operation(*args, **kwargs)
        out = operation(*args, **kwargs)
        made = [x for x in tree_flatten(out)[0] if isinstance(x, Tensor)]
        if made and there != any(map(_on_gpu, made)):
            copied = sum(x.numel() * x.itemsize for x in made)
            (self.seen.downloads if there else self.seen.uploads if given else []).append(copied)
        self.seen.operations.append(str(operation))
        for x in filter(_on_gpu, made):
            self._hold(x)
        return out

    def _hold(self, x: Tensor) -> None:
        storage = x.untyped_storage()
        if storage._cdata in self.known:
            return
        self.known.add(storage._cdata)
        held, seen = storage.nbytes(), self.seen
        seen.held += held
        seen.most = max(seen.most, seen.held)

        def freed(cdata: int = storage._cdata) -> None:
            self.known.discard(cdata)
            seen.held -= held

        weakref.finalize(storage, freed)


def _on_gpu(x: Tensor) -> bool:
    return x.device.type == "cuda"


@contextlib.contextmanager
def fake_gpu() -> Iterator[Seen]:
    seen = Seen()
    with FakeTensorMode(allow_non_fake_inputs=True), _FakeGPU(seen):
        yield seen


def move_to_gpu(model: nn.Module) -> nn.Module:
    """The model on the device; `Module.to` cannot swap fake weights, so it does nothing from here on."""
    for module in model.modules():
        for name, value in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(value.to(GPU), requires_grad=False))
        for name, value in module.named_buffers(recurse=False):
            setattr(module, name, value.to(GPU))
        module.to = lambda *how, same=module, **named: same
    return model
