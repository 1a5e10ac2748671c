"""What the dashboards share: a panel as a value, their variables, and both as Grafana's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model

HERE = 'job=~"$job", instance=~"$instance"'  # label matchers of every query
CHOSEN = HERE + ', strategy=~"$strategy"'
QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLOURS = ("green", "orange", "red")


@dataclass(frozen=True)
class Panel:
    """One chart: `queries` by legend. `width` of 24, `height` in rows of Grafana's grid."""

    title: str
    description: str  # one line for the (i) of the panel
    unit: str
    queries: Mapping[str, str]
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8
    height: int = 7
    empty: str = "no data"  # shown where nothing comes back
    limits: tuple[float, float] | None = None  # from here orange, from here red; downwards when the first is larger
    stacked: bool = False
    states: tuple[str, str] | None = None  # words for 0 and 1


Rows = Mapping[str, Sequence[Panel]]


def quantiles(histogram: str, matchers: str = HERE) -> dict[str, str]:
    """p50, p95, p99 over all series of a histogram."""
    rates = f"sum by (le) (rate({histogram}_bucket{{{matchers}}}[$__rate_interval]))"
    return {name: f"histogram_quantile({q}, {rates})" for name, q in QUANTILES}


def quantile(q: float, histogram: str, by: str, matchers: str = HERE) -> dict[str, str]:
    """One quantile for each value of a label."""
    rates = f"sum by (le, {by}) (rate({histogram}_bucket{{{matchers}}}[$__rate_interval]))"
    return {f"{{{{{by}}}}}": f"histogram_quantile({q}, {rates})"}


def mean(histogram: str, by: str, matchers: str = HERE) -> dict[str, str]:
    """The mean of a histogram's observations, for each value of a label."""
    window = f"{{{matchers}}}[$__rate_interval]"
    total, count = (f"sum by ({by}) (rate({histogram}_{part}{window}))" for part in ("sum", "count"))
    return {f"{{{{{by}}}}}": f"{total} / {count}"}


def rate(counter: str, by: str, matchers: str = HERE) -> dict[str, str]:
    """A counter's rate per second, for each value of a label."""
    return {f"{{{{{by}}}}}": f"sum by ({by}) (rate({counter}{{{matchers}}}[$__rate_interval]))"}


def total(gauge: str, by: str, matchers: str = HERE) -> dict[str, str]:
    """A gauge summed over everything but one label."""
    return {f"{{{{{by}}}}}": f"sum by ({by}) ({gauge}{{{matchers}}})"}


def dashboard(uid: str, title: str, description: str, rows: Rows) -> model.Dashboard:
    """Rows of panels as Grafana's own model; the order of `rows` is the order on the screen."""
    page = build.Dashboard(f"TTA / {title}").uid(uid).description(description).tags(["tta"]).editable()
    page = page.time("now-1h", "now").refresh("30s").timezone("browser").tooltip(model.DashboardCursorSync.CROSSHAIR)
    others = build.DashboardLink("TTA").type(model.DashboardLinkType.DASHBOARDS).tags(["tta"])
    page = page.link(others.include_vars(True).keep_time(True).as_dropdown(True))
    for variable in _variables():
        page = page.with_variable(variable)
    number = 0
    for heading, panels in rows.items():
        number += 1
        page = page.with_row(build.Row(heading).id(number))
        for panel in panels:
            number += 1
            page = page.with_panel(_build_panel(panel, number))
    return _strip_defaults(page.build())


def _strip_defaults(page: model.Dashboard) -> model.Dashboard:
    """Removes what the SDK adds unasked: an interval's settings of each variable, links in a menu."""
    for variable in (page.templating and page.templating.list_val) or []:
        variable.auto = variable.auto_min = variable.auto_count = None
    for link in page.links or []:
        link.placement = None  # pyright: ignore[reportAttributeAccessIssue]
    return page


def _variables() -> list[build.DatasourceVariable | build.QueryVariable]:
    """The choices at the top of a page: data source, job, instance, strategy."""
    source = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    label_queries = {
        "job": "label_values(tta_build_info, job)",
        "instance": 'label_values(tta_build_info{job=~"$job"}, instance)',
        "strategy": f"label_values(tta_requests_total{{{HERE}}}, strategy)",
    }
    everything = model.VariableOption(text="All", value="$__all")
    choices = [
        build.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query({"query": query, "refId": name})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
        for name, query in label_queries.items()
    ]
    return [source, *choices]


def _build_panel(panel: Panel, number: int) -> timeseries.Panel | stat.Panel:
    built = _stat() if panel.kind == "stat" else _lines(panel)
    built = built.id(number).title(panel.title).description(panel.description).datasource(SOURCE)
    built = built.span(panel.width).height(panel.height).unit(panel.unit).no_value(panel.empty)
    built = built.mappings(_value_mappings(panel.states)).thresholds(_thresholds(panel.limits))
    for legend, expression in panel.queries.items():
        letter = chr(ord("A") + len(built.build().targets or []))
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter)
        built = built.with_target(query.instant() if panel.kind == "stat" else query.range())
    return built


def _lines(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.LIST).show_legend(True)
    legend = legend.placement(shapes.LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)
    built = timeseries.Panel().legend(legend).tooltip(tooltip).line_width(1).fill_opacity(30 if panel.stacked else 8)
    if panel.stacked:
        built = built.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL))
    if panel.limits:
        built = built.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    return built.show_points(shapes.VisibilityMode.NEVER).axis_soft_min(0)


def _stat() -> stat.Panel:
    last = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")
    built = stat.Panel().reduce_options(last).graph_mode(shapes.BigValueGraphMode.NONE)
    return built.color_mode(shapes.BigValueColorMode.VALUE)


def _value_mappings(states: tuple[str, str] | None) -> list[model.ValueMapping]:
    """Words for a division by no traffic, and for 0 and 1."""
    nothing = model.SpecialValueMap(
        model.DashboardSpecialValueMapOptions(
            match=model.SpecialValueMatch.NULL_AND_NAN, result=model.ValueMappingResult(text="no traffic")
        )
    )
    if not states:
        return [nothing]
    words = {
        str(value): model.ValueMappingResult(text=word, color=("red", "green")[value], index=value)
        for value, word in enumerate(states)
    }
    return [model.ValueMap(words), nothing]


def _thresholds(limits: tuple[float, float] | None) -> build.ThresholdsConfig:
    steps = [model.Threshold(value=None, color=COLOURS[0])]
    if limits:
        worst_first = limits[0] > limits[1]
        colours = COLOURS[::-1] if worst_first else COLOURS
        edges = sorted(limits)
        steps = [
            model.Threshold(value=edge, color=colour) for edge, colour in zip((None, *edges), colours, strict=True)
        ]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
