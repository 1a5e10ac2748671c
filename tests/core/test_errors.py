from __future__ import annotations

from tta_service.core.errors import BadParameters, NotReady, Overloaded, TTAError


def test_a_field_is_seen_from_the_outer_message():
    error = BadParameters("views is too large", "parameters.views")
    assert error.at("options.strategy") is error and error.field == "options.strategy.parameters.views"
    assert TTAError("no").at("image").field == "image" and str(error) == error.message == "views is too large"


def test_only_some_errors_are_worth_another_try():
    assert Overloaded("full", retry_after=0.25).retry_after == 0.25
    assert NotReady("warming up").retry_after == 1.0 and BadParameters("no").retry_after is None
