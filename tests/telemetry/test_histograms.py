"""Our histograms give the same values as prometheus_client's, read back by its own parsers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Theirs
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from tta_service.telemetry.exposition import Registry
from tta_service.telemetry.histograms import Histogram, observe

BOUNDS = (0.1, 1, 2.5)


def samples(text: str) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(text)
    values = {(s.name, *sorted(map("=".join, s.labels.items()))): s.value for f in families for s in f.samples}
    return {key: value for key, value in values.items() if not key[0].endswith("_created")}


@given(st.lists(st.floats(0, 4) | st.sampled_from(BOUNDS), max_size=20))
def test_the_same_values_as_prometheus_clients(values: list[float]):
    registry, ours = CollectorRegistry(), Histogram("h", "Something.", ("a",), BOUNDS)
    theirs = Theirs("h", "Something.", ("a",), buckets=BOUNDS, registry=registry)
    observe([(ours[("x",)], value) for value in values])
    for value in values:
        theirs.labels("x").observe(value)
    expected = samples(generate_latest(registry).decode())
    assert samples("".join(ours.text())) == expected


def test_label_values_cannot_break_out_of_their_quotes():
    evil = 'a"b\\c\nd'
    histogram = Histogram("h", "Something.", ("a",), BOUNDS)
    observe([(histogram[(evil,)], 1)])
    (family,) = text_string_to_metric_families("".join(histogram.text()))
    assert {sample.labels["a"] for sample in family.samples} == {evil}


def test_a_wrong_number_of_labels_is_refused():
    with pytest.raises(ValueError, match="not 2"):
        Histogram("h", "Something.", ("a",), BOUNDS)["x", "y"]


def test_only_openmetrics_has_exemplars():
    registry = Registry()
    plain, traced = (registry.histogram(name, "Something.", (), BOUNDS)[()] for name in ("plain", "traced"))
    observe([(plain, 0.5)])
    observe([(traced, 0.5)], "4bf92f3577b34da6a3ce929d0e0e4736")
    observe([(traced, 9)])
    text, kind = registry.render("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    found = {(s.name, s.labels.get("le")): s for f in open_families(text.decode()) for s in f.samples}
    exemplar = found["traced_bucket", "1.0"].exemplar
    assert (exemplar.labels, exemplar.value) == ({"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}, 0.5)
    assert [key for key, sample in found.items() if sample.exemplar] == [("traced_bucket", "1.0")]
    assert b"trace_id" not in registry.render()[0]
