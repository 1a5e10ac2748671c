"""Every precision and runtime: near float32, a row alone as among others, the reducers named at start and no other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from tests.clip.reducers import Drop, MergePairs
from tests.clip.small import pixels, small_model, tokenizer
from tta_service.clip import CannotLoad
from tta_service.clip.encoder_config import EncoderConfig, make_encoder_config
from tta_service.clip.hardware import why_not
from tta_service.clip.image.compiled import load_runtime
from tta_service.clip.image.compression import Compression
from tta_service.clip.load import load
from tta_service.clip.model import FrozenCLIP
from tta_service.core.errors import Unsupported
from tta_service.core.reducer import Reduction
from tta_service.reducers.none import NoReduction
from tta_service.reducers.random import RandomDrop
from tta_service.reducers.text_guided import TextGuided
from tta_service.reducers.tome import ToMe

CPU = torch.device("cpu")
VISION = {"layers": 2, "width": 64}
FORMS = {
    "float32": EncoderConfig(),
    "bfloat16": EncoderConfig("bfloat16"),
    "int8": EncoderConfig("int8"),
    "svd": EncoderConfig(compress=Compression(rank=24)),
    "int8 svd": EncoderConfig("int8", compress=Compression(rank=24)),
    "pruned": EncoderConfig(compress=Compression(ratio=0.1)),
    "compile": EncoderConfig(runtime="compile"),
    "compile int8": EncoderConfig("int8", "compile"),
    "onnxruntime": EncoderConfig(runtime="onnxruntime", reducers=(ToMe(keep=0.5),)),
    "onnxruntime int8": EncoderConfig("int8", "onnxruntime"),
    "openvino": EncoderConfig(runtime="openvino", reducers=(RandomDrop(keep=0.5),)),
    "openvino bfloat16": EncoderConfig("bfloat16", "openvino"),
    "openvino int8": EncoderConfig("int8", "openvino"),
}
ROUNDING = {"float32": 1e-6, "bfloat16": 1e-3, "int8": 1e-3}  # 1 - cosine, between shapes of one forward
LOSS = {"float32": 1e-5, "bfloat16": 1e-3, "int8": 2e-3}  # 1 - cosine, to float32


@pytest.fixture(autouse=True, scope="module")
def no_idle_compilers() -> Iterator[None]:
    """For GPUs inductor keeps processes at hand, which would all import torch; on a CPU they have nothing to do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_WARM_POOL", "0")
        yield


def model():
    return small_model(VISION)


@cache
def clip_of(name: str) -> FrozenCLIP:
    form = FORMS[name]
    if form.runtime in ("onnxruntime", "openvino") and find_spec(form.runtime) is None:
        pytest.skip(f"{form.runtime} is not installed")
    if why := why_not(form.precision, CPU):
        pytest.skip(why)
    return FrozenCLIP(model(), tokenizer(), config=form)


def forms(which: Callable[[EncoderConfig], bool] = lambda form: True) -> list[Any]:
    """Names for `parametrize`; other runtimes build and compile for seconds to half a minute."""
    slow = {True: [pytest.mark.slow], False: []}
    return [pytest.param(name, marks=slow[form.runtime != "eager"]) for name, form in FORMS.items() if which(form)]


def reductions(name: str) -> list[Reduction | None]:
    return [None, *(Reduction(reducer) for reducer in FORMS[name].reducers)]


def cosines(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a.double() * b.double()).sum(-1)


@pytest.mark.parametrize("name", forms())
def test_together_is_alone(name):
    clip, rows = clip_of(name), pixels(7)
    loud = torch.cat([rows, 300 * pixels(6, seed=1)])  # 13 rows: two buckets, one of them not full
    for reduction in reductions(name):
        alone = torch.cat([clip.encode_image(row[None], reduction) for row in rows])
        for together in (clip.encode_image(rows, reduction), clip.encode_image(loud, reduction)[:7]):
            assert cosines(together, alone).min() > 1 - ROUNDING[clip.precision]
        order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
        shuffled = clip.encode_image(rows[order], reduction)
        assert cosines(shuffled, alone[order]).min() > 1 - ROUNDING[clip.precision]


@pytest.mark.parametrize("name", forms(lambda form: form.compress == Compression()))
def test_it_is_near_float32(name):
    clip, plain = clip_of(name), clip_of("float32")
    for reduction in reductions(name):
        mine, exact = clip.encode_image(pixels(5), reduction), plain.encode_image(pixels(5), reduction)
        assert mine.dtype == torch.float32 and mine.shape == exact.shape
        assert cosines(mine, exact).min() > 1 - LOSS[clip.precision]
        reducer = NoReduction() if reduction is None else reduction.reducer
        assert clip.tokens_left(reducer) == plain.tokens_left(reducer) != ()


@pytest.mark.parametrize("name", forms(lambda form: form != EncoderConfig()))
def test_each_configuration_differs_from_float32_as_it_should(name):
    """Not float32 eager under another name: features differ in the last bits at least, and so does the fingerprint
    when they differ by more."""
    clip, plain = clip_of(name), clip_of("float32")
    features, exact = clip.encode_image(pixels(64)), plain.encode_image(pixels(64))
    form = FORMS[name]
    alike = form.precision == "float32" and form.compress == Compression()
    assert (cosines(features, exact).min() < 1 - 1e-6) != alike
    assert (clip.fingerprint == plain.fingerprint) == alike
    assert clip.reducible


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", pytest.param("compile", marks=pytest.mark.slow)])
def test_reducers_not_named_at_start_are_refused(name):
    clip = clip_of(name)
    clip.check_reducer(NoReduction())
    for other in (ToMe(keep=0.6), MergePairs(), Drop()):
        for refuse in (clip.check_reducer, lambda reducer: clip.encode_image(pixels(), Reduction(reducer))):
            with pytest.raises(Unsupported, match=f"{name} serves the reducers named at start .none") as refused:
                refuse(other)
            assert refused.value.field == "options.reduction.reducer.name"
    assert clip.tokens_left(Drop()) == ()


@pytest.mark.slow
def test_a_guided_reducer_has_no_graph():
    with pytest.raises(CannotLoad, match="text_guided looks at the label set") as refused:
        FrozenCLIP(model(), tokenizer(), config=EncoderConfig(runtime="compile", reducers=(TextGuided(),)))
    assert refused.value.field == "reducers"


@dataclass(frozen=True)
class ByContent(Drop):
    """How many patches it drops depends on the picture, which no graph can hold."""

    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        return x[:, : x.shape[1] - int((x.mean() > 0).item())], sizes


@pytest.mark.slow
def test_a_reducer_whose_counts_depend_on_content_has_no_graph():
    pytest.importorskip("onnxruntime")
    with pytest.raises(CannotLoad, match="onnxruntime cannot take over the reducer drop") as refused:
        FrozenCLIP(model(), tokenizer(), config=EncoderConfig(runtime="onnxruntime", reducers=(ByContent(),)))
    assert refused.value.field == "reducers"


@pytest.mark.parametrize(("name", "share"), [("int8", 0.5), ("svd", 0.8), ("onnxruntime", 0.0)])
def test_weights_in_another_form_are_not_kept_twice(name, share):
    clip, plain = clip_of(name), clip_of("float32")
    left, whole = (sum(x.numel() for x in one.model.visual.parameters()) for one in (clip, plain))
    assert left <= share * whole


def test_towers_that_cannot_be_taken_apart_have_neither_int8_nor_low_rank():
    resnet = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 64}
    for form in (
        EncoderConfig("int8"),
        EncoderConfig(compress=Compression(rank=4)),
        EncoderConfig(compress=Compression(ratio=0.5)),
    ):
        with pytest.raises(CannotLoad, match=r"can only be run as it is: ModifiedResNet is not"):
            FrozenCLIP(small_model(resnet), tokenizer(), config=form)


@pytest.mark.parametrize(
    ("form", "sentence", "field"),
    [
        (("int4", "eager", ""), "no precision 'int4', only float32, bfloat16, float16, int8", "precision"),
        (("float32", "tensorrt", ""), "no runtime 'tensorrt', only eager, compile", "runtime"),
        (("float32", "eager", "zip:3"), "svd:RANK or prune:RATIO", "compress"),
    ],
)
def test_unknown_precisions_and_runtimes_are_refused(form, sentence, field):
    with pytest.raises(CannotLoad, match=sentence) as refused:
        load(precision=form[0], runtime=form[1], compress=form[2], device="cpu")
    assert refused.value.field == field


def test_what_this_machine_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(
        "tta_service.clip.encoder_config.why_not", lambda precision, device: why_not(precision, device, frozenset())
    )
    with pytest.raises(CannotLoad, match="this CPU has none of avx512_vnni"):
        load(precision="int8", device="cpu")
    assert load(device="cpu").precision == "float32"


def test_other_runtimes_are_for_cpus():
    with pytest.raises(CannotLoad, match="onnxruntime serves on CPUs alone"):
        make_encoder_config("float32", "onnxruntime", "", (), torch.device("cuda"))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_runtime_that_is_not_installed_is_refused(monkeypatch, runtime):
    monkeypatch.setitem(sys.modules, runtime, None)
    monkeypatch.delitem(sys.modules, f"tta_service.clip.runtimes.{runtime}", raising=False)
    with pytest.raises(CannotLoad, match=rf"{runtime} needs `pip install '.\[runtime\]'` in a checkout"):
        load_runtime(runtime, "float32")


def test_a_precision_that_a_runtime_lacks_is_refused():
    pytest.importorskip("onnxruntime")
    with pytest.raises(CannotLoad, match="onnxruntime computes in float32 or int8, not in bfloat16"):
        load_runtime("onnxruntime", "bfloat16")


def test_compile_needs_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(CannotLoad, match="needs a C"):
        FrozenCLIP(model(), tokenizer(), config=EncoderConfig(runtime="compile"))
