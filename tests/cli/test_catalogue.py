"""`tta-service strategies disable|enable` against a running service."""

from __future__ import annotations

import pytest

from tests.client.services import run_service
from tta_service.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as ended:
        main(["strategies", *arguments])
    printed = capsys.readouterr()
    return ended.value.code, printed.out + printed.err


@pytest.mark.slow
def test_a_strategy_is_switched_off_and_on(capsys: pytest.CaptureFixture[str]) -> None:
    with run_service() as address:
        at = "--server", address
        assert run(capsys, "disable", "tda", *at) == (0, "disabled: tda\n")
        assert run(capsys, "disable", "mean", *at) == (0, "disabled: mean, tda\n")
        assert run(capsys, "enable", "tda", *at) == (0, "disabled: mean\n")
        assert run(capsys, "enable", "mean", *at) == (0, "disabled: none\n")
        code, said = run(capsys, "disable", "magic", *at)
        assert code == 2 and said.startswith("tta-service: name: ") and "magic" in said
