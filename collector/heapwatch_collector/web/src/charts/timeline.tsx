// RSS (solid) and live Python heap (dashed) of each instance, with the memory limit and what happened.

import { useMemo, useState, type ReactNode } from "react";
import type uPlot from "uplot";
import type { Span } from "../api/collector";
import type { Instance, Series } from "../api/documents";
import { bytes } from "../format";
import { align, type Points } from "./align";
import { Chart, drawLevel, drawMark, type Line } from "./chart";
import { seriesColor, useTheme, type Theme } from "./theme";

export const RSS = "process.memory.usage";
export const LIVE = "heapwatch.heap.live";

const MOST_LINES = 8;

export interface Mark {
  time: number;
  kind: "start" | "anomaly";
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

/** The largest instances, each with its two lines. */
function rowsOf(series: Series[], theme: Theme): { rows: Row[]; left: number } {
  const last = (points: Points | undefined): number => points?.at(-1)?.[1] ?? 0;
  const by = (name: string): Map<string, Points> =>
    new Map(series.filter((s) => s.name === name).map((s) => [s.instance, s.points as unknown as Points]));
  const rss = by(RSS);
  const live = by(LIVE);
  const ids = [...new Set([...rss.keys(), ...live.keys()])];
  const shown = ids.sort((a, b) => last(rss.get(b)) - last(rss.get(a))).slice(0, MOST_LINES).sort();
  const rows = shown.map((id, i) => ({
    id,
    color: seriesColor(theme, i),
    rss: rss.get(id) ?? [],
    live: live.get(id) ?? [],
  }));
  return { rows, left: ids.length - shown.length };
}

export function Timeline({ series, instances, names, marks, span, step }: TimelineProps): ReactNode {
  const theme = useTheme();
  const [cursor, setCursor] = useState<number | null>(null);
  const { rows, left } = useMemo(() => rowsOf(series, theme), [series, theme]);
  const data = useMemo(() => align(rows.flatMap((row) => [row.rss, row.live]), Math.max(step * 3, 90)), [rows, step]);
  const lines = rows.flatMap((row): Line[] => [
    { name: `${row.id} RSS`, color: row.color },
    { name: `${row.id} live`, color: row.color, dashed: true, width: 1.25 },
  ]);
  const limits = [...new Set(instances.map((i) => i.limit_bytes).filter((limit) => limit !== null))];
  const highest = Math.max(0, ...rows.flatMap((row) => row.rss.map(([, value]) => value ?? 0)));
  const shownLimits = limits.filter((limit) => limit <= highest * 2.5);
  const draw = (plot: uPlot): void => {
    for (const limit of shownLimits) drawLevel(plot, limit, `limit ${bytes(limit)}`, theme.leak);
    for (const mark of marks) {
      if (mark.kind === "start") drawMark(plot, mark.time, "▲", theme.muted, "bottom");
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
      <Legend rows={rows} names={names} data={data} cursor={cursor} left={left} />
      <p className="note keys">
        <span>— RSS</span> <span>┄ live Python heap</span> {marks.some((m) => m.kind === "start") && <span>▲ instance started</span>}{" "}
        {marks.some((m) => m.kind === "anomaly") && <span>◆ anomaly</span>}{" "}
        {limits.length > shownLimits.length && <span>limit {bytes(Math.min(...limits))} (above the chart)</span>}
      </p>
    </div>
  );
}

interface LegendProps {
  rows: Row[];
  names: Map<string, string>;
  data: ReturnType<typeof align>;
  cursor: number | null;
  left: number;
}

function Legend({ rows, names, data, cursor, left }: LegendProps): ReactNode {
  const valueAt = (column: number, points: Points): number | null | undefined => {
    if (cursor === null) return points.at(-1)?.[1];
    const values = data[column + 1] ?? [];
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
      {left > 0 && <li className="muted">and {left} smaller instances</li>}
    </ul>
  );
}
