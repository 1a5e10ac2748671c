"""Every strategy of the catalogue against every check that plug-ins face."""

from __future__ import annotations

import re

import pytest

from tta_service.strategies import catalogue
from tta_service.testing.check_strategy import STRATEGY_CHECKS


@pytest.mark.parametrize("name", catalogue.names())
@pytest.mark.parametrize("check", STRATEGY_CHECKS, ids=lambda check: check.__name__)
def test_every_strategy_conforms(name, check):
    check(catalogue.get(name))


@pytest.mark.parametrize("name", catalogue.names())
def test_every_strategy_cites_its_paper(name):
    assert re.search(r"arXiv:\d{4}\.\d{5}|(19|20)\d\d", catalogue.describe(name).paper)
