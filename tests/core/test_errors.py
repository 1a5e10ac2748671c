from __future__ import annotations

from tta_service.core.errors import BadParameters, NotReady, Overloaded, TTAError


def test_at_prefixes_the_field_with_the_outer_path():
    error = BadParameters("views is too large", "parameters.views")
    assert error.at("options.strategy") is error and error.field == "options.strategy.parameters.views"
    assert TTAError("no").at("image").field == "image" and str(error) == error.message == "views is too large"


def test_only_temporary_errors_have_a_retry_time():
    assert Overloaded("full", retry_after=0.25).retry_after == 0.25
    assert NotReady("warming up").retry_after == 1.0 and BadParameters("no").retry_after is None
