// uPlot in a React coat: made anew when the lines or colours change, fed when only the data does.

import { useEffect, useRef, type ReactNode } from "react";
import uPlot from "uplot";
import { bytes } from "../format";
import type { Value } from "./align";
import { useTheme, type Theme } from "./theme";

export interface Line {
  name: string;
  color: string;
  dashed?: boolean;
  fill?: string;
  width?: number;
}

export interface ChartProps {
  /** What a screen reader says instead of the picture. */
  label: string;
  lines: Line[];
  data: [number[], ...Value[][]];
  height: number;
  format: (value: number) => string;
  /** Ends of the time axis; without them the data's own. */
  span?: { start: number; end: number };
  /** The value axis reaches at least this far. */
  reach?: number;
  /** Drawn over the lines on each change. */
  draw?: (plot: uPlot, theme: Theme) => void;
  onCursor?: (index: number | null) => void;
}

const BINARY_STEPS = Array.from({ length: 45 }, (_, power) => 2 ** power);
const AXIS_FONT = "11px system-ui, sans-serif";

function axes(theme: Theme, format: (value: number) => string): uPlot.Axis[] {
  const common = { stroke: theme.muted, font: AXIS_FONT, grid: { stroke: theme.line, width: 1 }, ticks: { show: false } };
  const values: uPlot.Axis = {
    ...common,
    size: 64,
    space: 36,
    values: (_, splits) => splits.map((value) => format(value)),
    ...(format === bytes ? { incrs: BINARY_STEPS } : {}),
  };
  return [{ ...common, space: 70, values: TIME_AXIS }, values];
}

// Hours of 24; the day below where it begins.
const TIME_AXIS: uPlot.Axis.Values = [
  [3600 * 24, "{MMM} {D}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{MMM} {D}", null, "\n{MMM} {D}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{MMM} {D}", null, "\n{MMM} {D}", null, null, null, 1],
];

function seriesOf(line: Line): uPlot.Series {
  return {
    label: line.name,
    stroke: line.color,
    width: line.width ?? 1.5,
    points: { show: false },
    ...(line.dashed ? { dash: [4, 4] } : {}),
    ...(line.fill ? { fill: line.fill } : {}),
  };
}

export function Chart(props: ChartProps): ReactNode {
  const theme = useTheme();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const shape = JSON.stringify(props.lines);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const made = new uPlot(options(element.clientWidth, theme, latest), latest.current.data as uPlot.AlignedData, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: latest.current.height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape, theme]);

  useEffect(() => plot.current?.setData(props.data as uPlot.AlignedData), [props.data]);

  return <div ref={host} className="chart" role="img" aria-label={props.label} style={{ height: props.height }} />;
}

function options(width: number, theme: Theme, latest: { current: ChartProps }): uPlot.Options {
  const { lines, height, format, onCursor } = latest.current;
  return {
    width,
    height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    padding: [10, 18, 0, 0],
    axes: axes(theme, format),
    scales: {
      x: { time: true, range: (_, low, high) => { const span = latest.current.span; return span ? [span.start, span.end] : [low, high]; } },
      y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max((high ?? 1) * 1.08, latest.current.reach ?? 0) || 1] },
    },
    series: [{}, ...lines.map(seriesOf)],
    hooks: {
      draw: [(plot) => latest.current.draw?.(plot, theme)],
      ...(onCursor ? { setCursor: [(plot: uPlot) => latest.current.onCursor?.(plot.cursor.idx ?? null)] } : {}),
    },
  };
}

/** A horizontal line at `value` with its name at the right end. */
export function drawLevel(plot: uPlot, value: number, text: string, color: string): void {
  const y = plot.valToPos(value, "y", true);
  const { left, top, width } = plot.bbox;
  if (y < top) return;
  const { ctx } = plot;
  ctx.save();
  ctx.strokeStyle = color;
  ctx.fillStyle = color;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(left, y);
  ctx.lineTo(left + width, y);
  ctx.stroke();
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "right";
  ctx.textBaseline = "bottom";
  ctx.fillText(text, left + width - 4 * devicePixelRatio, y - 2 * devicePixelRatio);
  ctx.restore();
}

/** A small sign at `time` on the top or bottom edge, with a faint line through the chart. */
export function drawMark(plot: uPlot, time: number, sign: string, color: string, edge: "top" | "bottom"): void {
  const x = plot.valToPos(time, "x", true);
  const { left, top, width, height } = plot.bbox;
  if (x < left || x > left + width) return;
  const { ctx } = plot;
  ctx.save();
  ctx.fillStyle = color;
  ctx.globalAlpha = 0.25;
  ctx.fillRect(x, top, devicePixelRatio, height);
  ctx.globalAlpha = 1;
  ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = edge;
  ctx.fillText(sign, x, edge === "top" ? top : top + height);
  ctx.restore();
}
