import type { ReactNode } from "react";

const WIDTH = 120;
const HEIGHT = 24;

/** A line without axes. `points` are [time, value]; the height is what they span, or a quarter of the value. */
export function Sparkline({ points, label }: { points: readonly (readonly [number, number])[]; label: string }): ReactNode {
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last || points.length < 2) return <svg className="sparkline" width={WIDTH} height={HEIGHT} aria-hidden="true" />;
  const values = points.map(([, value]) => value);
  const middle = (Math.min(...values) + Math.max(...values)) / 2;
  // Ripples on a steady service stay ripples: they are not blown up to the whole height.
  const half = Math.max(Math.max(...values) - middle, middle / 8, 1);
  const x = (time: number): number => 1 + ((time - first[0]) / (last[0] - first[0] || 1)) * (WIDTH - 5);
  const y = (value: number): number => HEIGHT - 3 - ((value - middle + half) / (2 * half)) * (HEIGHT - 6);
  const path = points.map(([time, value], i) => `${i ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return (
    <svg className="sparkline" width={WIDTH} height={HEIGHT} role="img" aria-label={label}>
      <path d={path} fill="none" />
      <circle cx={x(last[0])} cy={y(last[1])} r="2" />
    </svg>
  );
}
