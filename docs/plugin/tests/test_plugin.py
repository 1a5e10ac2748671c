"""Both do what they declare."""

from tta_example_plugin.sharpest import Sharpest
from tta_example_plugin.stripes import Stripes

from tta_service.testing import check_reducer, check_strategy


def test_the_strategy():
    check_strategy(Sharpest)


def test_the_reducer():
    check_reducer(Stripes)
