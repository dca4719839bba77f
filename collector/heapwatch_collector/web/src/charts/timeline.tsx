// RSS (solid) and live Python heap (dashed) of each instance, with the memory limit and what happened.

import { useMemo, useState, type ReactNode } from "react";
import type uPlot from "uplot";
import type { Span } from "../api/collector";
import type { Instance, Series } from "../api/documents";
import { bytes } from "../format";
import { align, type Points, type Value } from "./align";
import { Chart, drawLevel, drawMark, type Line } from "./chart";
import { seriesColor, useTheme, type Theme } from "./theme";

export const RSS = "process.memory.usage";
export const LIVE = "heapwatch.heap.live";

/** Instances with a colour and a place in the legend; more are drawn in grey. */
const NAMED = 8;
const GREY = 60;

export interface Mark {
  time: number;
  kind: "start" | "anomaly" | "action";
  text?: string;
}

interface TimelineProps {
  series: Series[];
  instances: Instance[];
  names: Map<string, string>;
  marks: Mark[];
  span: Span;
  step: number;
}

interface Row {
  id: string;
  color: string;
  rss: Points;
  live: Points;
}

/** The instances that live and are largest by name, others in grey, and how many are left out. */
function rowsOf(series: Series[], theme: Theme, step: number): { rows: Row[]; grey: Points[]; left: number } {
  const by = (name: string): Map<string, Points> =>
    new Map(series.filter((s) => s.name === name).map((s) => [s.instance, s.points as unknown as Points]));
  const rss = by(RSS);
  const live = by(LIVE);
  const end = Math.max(0, ...series.map((s) => s.points.at(-1)?.[0] ?? 0));
  const rank = (id: string): { alive: boolean; size: number } => {
    const [time = 0, size] = rss.get(id)?.at(-1) ?? [];
    return { alive: time >= end - Math.max(2 * step, 60), size: size ?? 0 };
  };
  const ids = [...new Set([...rss.keys(), ...live.keys()])].sort((a, b) => {
    const [left, right] = [rank(a), rank(b)];
    return Number(right.alive) - Number(left.alive) || right.size - left.size;
  });
  const shown = ids.slice(0, NAMED).sort();
  const rows = shown.map((id, i) => ({
    id,
    color: seriesColor(theme, i),
    rss: rss.get(id) ?? [],
    live: live.get(id) ?? [],
  }));
  const others = ids.slice(NAMED);
  return { rows, grey: others.slice(0, GREY).map((id) => rss.get(id) ?? []), left: others.length };
}

export function Timeline({ series, instances, names, marks, span, step }: TimelineProps): ReactNode {
  const theme = useTheme();
  const [cursor, setCursor] = useState<number | null>(null);
  const { rows, grey, left } = useMemo(() => rowsOf(series, theme, step), [series, theme, step]);
  const data = useMemo(() => align([...grey, ...rows.flatMap((row) => [row.rss, row.live])], Math.max(step * 3, 90)), [rows, grey, step]);
  const lines = [
    ...grey.map((_, i): Line => ({ name: `other ${i}`, color: `${theme.muted}66`, width: 1 })),
    ...rows.flatMap((row): Line[] => [
      { name: `${row.id} RSS`, color: row.color },
      { name: `${row.id} live`, color: row.color, dashed: true, width: 1.25 },
    ]),
  ];
  const limits = [...new Set(instances.map((i) => i.limit_bytes).filter((limit) => limit !== null))];
  const highest = useMemo(() => data.slice(1).flat().reduce<number>((most, value) => Math.max(most, value ?? 0), 0), [data]);
  const shownLimits = limits.filter((limit) => limit <= highest * 2.5);
  const actions = [...new Set(marks.flatMap((m) => (m.kind === "action" && m.text ? [m.text] : [])))].sort();
  const draw = (plot: uPlot): void => {
    for (const limit of shownLimits) drawLevel(plot, limit, `limit ${bytes(limit)}`, theme.leak);
    for (const mark of marks) {
      if (mark.kind === "start") drawMark(plot, mark.time, "▲", theme.muted, "bottom");
      else if (mark.kind === "action") drawMark(plot, mark.time, "●", theme.accent, "bottom");
      else drawMark(plot, mark.time, "◆", theme.warn, "top");
    }
  };
  const label = `RSS and live heap over time: ${rows.map((row) => `${names.get(row.id) ?? row.id} ${bytes(row.rss.at(-1)?.[1])}`).join(", ")}`;
  return (
    <div className="timeline">
      <Chart
        label={label}
        lines={lines}
        data={data}
        height={260}
        format={bytes}
        span={span}
        reach={Math.max(0, ...shownLimits) * 1.1}
        draw={draw}
        onCursor={setCursor}
      />
      <Legend rows={rows} names={names} columns={data.slice(1 + grey.length)} cursor={cursor} left={left} />
      <p className="note keys">
        <span>— RSS</span> <span>┄ live Python heap</span> {marks.some((m) => m.kind === "start") && <span>▲ instance started</span>}{" "}
        {actions.length > 0 && <span>● {actions.join(", ")}</span>}{" "}
        {marks.some((m) => m.kind === "anomaly") && <span>◆ anomaly</span>}{" "}
        {limits.length > shownLimits.length && <span>limit {bytes(Math.min(...limits))} (above the chart)</span>}
      </p>
    </div>
  );
}

interface LegendProps {
  rows: Row[];
  names: Map<string, string>;
  /** Two per row: RSS and live heap at each time of the chart. */
  columns: Value[][];
  cursor: number | null;
  left: number;
}

function Legend({ rows, names, columns, cursor, left }: LegendProps): ReactNode {
  const valueAt = (column: number, points: Points): number | null | undefined => {
    if (cursor === null) return points.at(-1)?.[1];
    const values = columns[column] ?? [];
    for (let i = cursor; i >= 0; i -= 1) if (values[i] !== undefined) return values[i];
    return null;
  };
  return (
    <ul className="legend">
      {rows.map((row, i) => (
        <li key={row.id} title={row.id}>
          <span className="swatch" style={{ background: row.color }} aria-hidden="true" />
          {names.get(row.id) ?? row.id}
          <span className="number">{bytes(valueAt(2 * i, row.rss))}</span>
          <span className="number muted">{bytes(valueAt(2 * i + 1, row.live))} live</span>
        </li>
      ))}
      {left > 0 && <li className="muted">and {left} more, in grey</li>}
    </ul>
  );
}
