from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from tta_service.clip.hardware import cpu_features, why_not

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
X86 = (
    "processor : 0\nflags\t\t: fpu avx512f avx512_vnni\nprocessor : 1\nflags\t\t: fpu avx512f avx512_vnni avx512_bf16\n"
)
ARM = "processor : 0\nFeatures\t: fp asimd asimdhp bf16\n"


def test_what_all_processors_can_do(tmp_path):
    for text, features in (
        (X86, {"fpu", "avx512f", "avx512_vnni"}),
        (ARM, {"fp", "asimd", "asimdhp", "bf16"}),
        ("", set()),
    ):
        file = tmp_path / f"cpuinfo{len(text)}"
        file.write_text(text)
        assert cpu_features(file) == features
    assert cpu_features(tmp_path / "none") == set()


@pytest.mark.parametrize(
    ("precision", "features", "message"),
    [
        ("float32", "", ""),
        ("int8", "avx512_vnni", ""),
        ("int8", "avx_vnni", ""),
        ("int8", "avx512f", "this CPU has none of avx512_vnni, avx_vnni, amx_int8, without which int8 is slower"),
        ("bfloat16", "avx512_bf16", ""),
        ("bfloat16", "amx_bf16", ""),
        ("bfloat16", "avx512_vnni", "none of avx512_bf16"),
        ("float16", "avx512_bf16", "none of avx512_fp16"),
        ("float16", "asimdhp", ""),
    ],
)
def test_half_precision_and_int8_need_support_of_the_cpu(precision, features, message):
    why = why_not(precision, CPU, frozenset(features.split()))
    assert why.startswith("this CPU") == bool(message) and message in why


@pytest.mark.skipif(bool(why_not("int8", CPU)), reason="bytes are refused here already")
def test_kernels_whose_int8_sums_saturate_are_refused():
    """oneDNN may be asked for kernels without VNNI on a processor that has it. (On ARM it has one kind.)"""
    code = "import torch; from tta_service.clip.hardware import why_not; print(why_not('int8', torch.device('cpu')))"
    settings = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True)
    assert "saturate" in done.stdout


def test_int8_is_for_cpus():
    assert "int8 is for CPUs" in why_not("int8", CUDA)
    assert why_not("float32", CUDA) == ""


@pytest.mark.parametrize(
    ("precision", "capability", "message"),
    [
        ("bfloat16", (9, 0), ""),
        ("bfloat16", (7, 5), "cuda has compute capability 7.5; bfloat16 is fast from 8.0 on"),
        ("float16", (7, 5), ""),
        ("float16", (6, 1), "cuda has compute capability 6.1; float16 is fast from 7.0 on"),
    ],
)
def test_half_precision_only_where_the_gpu_has_units_for_it(precision, capability, message):
    assert why_not(precision, CUDA, capability=capability) == message
