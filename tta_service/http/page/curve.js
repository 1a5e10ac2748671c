// Lines over time, with uPlot.
import { html, useEffect, useRef } from "./vendor/preact-htm.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// `times` in seconds of the Unix clock; `lines`: [{label, values, colour: a CSS variable, dash}]; `marks`: times of vertical lines.
export function Curve({ times, lines, marks = [], format, top, name, live = true }) {
  const place = useRef();
  const plot = useRef();
  const marked = useRef(marks);
  marked.current = marks;
  const shape = lines.map((line) => line.label).join("\n") + document.documentElement.dataset.theme;
  useEffect(() => {
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const drawMarks = (chart) => {
      const { ctx, bbox } = chart;
      ctx.save();
      ctx.strokeStyle = colour("--soft");
      ctx.setLineDash([3, 3]);
      for (const mark of marked.current) {
        const x = Math.round(chart.valToPos(mark, "x", true));
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      ctx.restore();
    };
    plot.current = new uPlot({
      width: place.current.clientWidth || 300, height: 180, cursor: { show: !live }, legend: { live: false },
      scales: { y: { range: (_, low, high) => [0, top ?? Math.max(high * 1.1, 1)] } },
      axes: [{ ...axis, size: 28, space: 90, values: (_, values) => values.map((one) => new Date(1000 * one).toLocaleTimeString("en-GB")) }, { ...axis, size: 56, values: (_, values) => values.map(format) }],
      series: [{}, ...lines.map((line) => ({ label: line.label, stroke: colour(line.colour), width: 2, dash: line.dash, spanGaps: true, points: { show: false } }))],
      hooks: { draw: [drawMarks] },
    }, [times, ...lines.map((line) => line.values)], place.current);
    const resize = new ResizeObserver(([entry]) => entry.contentRect.width && plot.current.setSize({ width: entry.contentRect.width, height: 180 }));
    resize.observe(place.current);
    return () => {
      resize.disconnect();
      plot.current.destroy();
    };
  }, [shape]);
  useEffect(() => plot.current.setData([times, ...lines.map((line) => line.values)]));
  return html`<div class="curve" ref=${place} role="img" aria-label=${name}></div>`;
}
