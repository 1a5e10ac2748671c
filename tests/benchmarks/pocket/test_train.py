"""The flags of the training script."""

from __future__ import annotations

from pathlib import Path

import pytest
from train import options


def run_training(run: Path, *more: str) -> int:
    return options(["--data", "pictures", "--run", str(run), *more]).workers


def test_one_flag_chooses_the_device(tmp_path: Path):
    (tmp_path / "targets.pt").touch()
    assert run_training(tmp_path) == run_training(tmp_path, "--device", "cpu") == 2
    assert run_training(tmp_path, "--device", "cuda") == 1
    assert run_training(tmp_path, "--workers", "4") == 4


def test_arguments_that_cannot_work_are_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        run_training(tmp_path)
    assert "holds no targets.pt; run teach.py" in capsys.readouterr().err
    (tmp_path / "targets.pt").touch()
    with pytest.raises(SystemExit):
        run_training(tmp_path, "--device", "cuda", "--workers", "2")
    assert "--workers 1" in capsys.readouterr().err
