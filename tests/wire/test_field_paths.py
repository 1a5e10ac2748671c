"""An error of the engine names the field that the caller wrote."""

from __future__ import annotations

import pytest

from tta_service.core.errors import BadImage, BadLabels, BadParameters, BadRequest, ModelFault, Overloaded, Unsupported
from tta_service.wire.field_paths import FieldOrigins, field_prefix

UNARY = FieldOrigins("image.encoded", "labels.label_set", "options")
FRAME = FieldOrigins("frame.image.features", "open.labels.id", "open.options")


@pytest.mark.parametrize(
    "error, unary, frame",
    [
        (BadImage("x", "image"), "image.encoded", "frame.image.features"),
        (BadRequest("x", "image.features.views"), "image.features.views", "frame.image.features.views"),
        (BadLabels("x", "names[3]"), "labels.label_set.names[3]", "open.labels.id"),
        (BadLabels("x", "templates[0]"), "labels.label_set.templates[0]", "open.labels.id"),
        (BadLabels("x"), "labels.label_set", "open.labels.id"),
        (Unsupported("x", "labels"), "labels.label_set", "open.labels.id"),
        (Unsupported("x", "options.strategy.name"), "options.strategy.name", "open.options.strategy.name"),
        (
            Unsupported("x", "options.reducer.name"),
            "options.reduction.reducer.name",
            "open.options.reduction.reducer.name",
        ),
        (Unsupported("x", "options.reduction.scope"), "options.reduction.scope", "open.options.reduction.scope"),
        (BadParameters("x", "views"), "options.strategy.parameters.views", "open.options.strategy.parameters.views"),
        (BadRequest("x", "session_id"), "session_id", "session_id"),
        (ModelFault("x"), "", ""),
    ],
)
def test_errors_name_the_path_from_the_outermost_message(error, unary, frame):
    assert UNARY.locate(error).field == unary
    assert FRAME.locate(error).field == frame


def test_a_shared_error_is_not_modified():
    shared = Overloaded("x", "names[1]", retry_after=7.0)
    seen = UNARY.locate(shared)
    assert shared.field == "names[1]"
    assert (seen.message, seen.retry_after, str(seen)) == ("x", 7.0, "x")


def test_the_path_is_put_before_the_field():
    with pytest.raises(BadLabels) as caught, field_prefix("labels.label_set"):
        raise BadLabels("x", "names[0]")
    assert caught.value.field == "labels.label_set.names[0]"
    with pytest.raises(BadLabels) as caught, field_prefix("labels.id", whole=True):
        raise BadLabels("x", "id.id")
    assert caught.value.field == "labels.id"
