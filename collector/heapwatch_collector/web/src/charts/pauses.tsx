// Garbage-collection pauses: the longest 1 % per generation, from cumulative histograms.

import { useMemo, type ReactNode } from "react";
import type { Span } from "../api/collector";
import type { Series } from "../api/documents";
import { duration } from "../format";
import { Empty } from "../parts/panel";
import { align, type Points } from "./align";
import { Chart } from "./chart";
import { seriesColor, useTheme } from "./theme";

export const PAUSE = "heapwatch.gc.pause";
const GENERATION = "cpython.gc.generation";

/** Increase of a cumulative count; after a restart it begins at zero again. */
function increase(before: number, after: number): number {
  return after >= before ? after - before : after;
}

/** The `q` quantile of a histogram, linear within its bucket; the last bound when it is beyond. */
export function quantile(bounds: number[], counts: number[], q: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return null;
  let seen = 0;
  for (const [i, bound] of bounds.entries()) {
    const count = counts[i] ?? 0;
    const lower = bounds[i - 1] ?? 0;
    if (count > 0 && seen + count >= q * total) return lower + ((q * total - seen) / count) * (bound - lower);
    seen += count;
  }
  return bounds.at(-1) ?? null;
}

/** 99th percentile per step of one generation, the instances' histograms added up. */
export function p99(series: Series[], step: number): Points {
  const perStep = new Map<number, number[]>();
  let bounds: number[] = [];
  for (const one of series) {
    if (!one.buckets) continue;
    const [itsBounds, counts] = one.buckets;
    bounds = itsBounds;
    for (let i = 1; i < one.points.length; i += 1) {
      const time = Math.round((one.points[i]?.[0] ?? 0) / step) * step;
      const sum = perStep.get(time) ?? itsBounds.concat(0).map(() => 0);
      const restarted = (counts[i]?.reduce((a, b) => a + b, 0) ?? 0) < (counts[i - 1]?.reduce((a, b) => a + b, 0) ?? 0);
      counts[i]?.forEach((count, k) => {
        sum[k] = (sum[k] ?? 0) + increase(restarted ? 0 : (counts[i - 1]?.[k] ?? 0), count);
      });
      perStep.set(time, sum);
    }
  }
  return [...perStep].sort((a, b) => a[0] - b[0]).flatMap(([time, counts]) => {
    const value = quantile(bounds, counts, 0.99);
    return value === null ? [] : [[time, value] as const];
  });
}

export function Pauses({ series, span, step }: { series: Series[]; span: Span; step: number }): ReactNode {
  const theme = useTheme();
  const generations = useMemo(() => {
    const found = [...new Set(series.map((s) => String(s.attributes[GENERATION] ?? "")))].sort();
    return found.map((name) => ({ name, points: p99(series.filter((s) => String(s.attributes[GENERATION] ?? "") === name), step) }));
  }, [series, step]);
  const data = useMemo(() => align(generations.map((g) => g.points), Math.max(step * 20, 900)), [generations, step]);
  if (generations.every((g) => g.points.length === 0)) return <Empty>No collections seen in this range.</Empty>;
  const lines = generations.map((g, i) => ({ name: `generation ${g.name}`, color: seriesColor(theme, i) }));
  const worst = Math.max(...generations.flatMap((g) => g.points.map(([, value]) => value ?? 0)));
  return (
    <>
      <Chart label={`Garbage-collection pauses, at most ${duration(worst)}`} lines={lines} data={data} height={150} format={duration} span={span} />
      <ul className="legend">
        {generations.map((g, i) => (
          <li key={g.name}>
            <span className="swatch" style={{ background: seriesColor(theme, i) }} aria-hidden="true" />
            generation {g.name}
            <span className="number">{g.points.length ? duration(g.points.at(-1)?.[1] ?? 0) : "–"}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
