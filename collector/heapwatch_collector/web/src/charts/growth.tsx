// A site's live bytes with the fitted growth and its interval.

import { useMemo, type ReactNode } from "react";
import type { Evidence } from "../api/documents";
import { byteRate, bytes } from "../format";
import { align, type Points } from "./align";
import { Chart } from "./chart";
import { useTheme } from "./theme";

/** The line of slope `rate` through the middle of the judged `points`, at their ends. */
function fitted(points: Points, rate: number): Points {
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last) return [];
  const mean = (of: (point: Points[number]) => number): number => points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const time = mean((point) => point[0]);
  const value = mean((point) => point[1] ?? 0);
  return [first[0], last[0]].map((t) => [t, Math.max(0, value + rate * (t - time))] as const);
}

export function GrowthChart({ evidence }: { evidence: Evidence }): ReactNode {
  const theme = useTheme();
  const { growth } = evidence;
  const data = useMemo(() => {
    const points: Points = evidence.series.map((p) => [p.time, p.bytes] as const);
    // The growth is that of the judged time, which may be shorter than what is shown.
    const since = (points.at(-1)?.[0] ?? 0) - (evidence.statistics["span"] ?? Infinity);
    const judged = points.filter(([time]) => time >= since);
    const fits = [growth.bytes_per_second, growth.low, growth.high].map((rate) => fitted(judged, rate));
    return align([points, ...fits], Infinity);
  }, [evidence, growth]);
  const lines = [
    { name: "live bytes", color: theme.accent, fill: `${theme.accent}22` },
    { name: "growth", color: theme.leak },
    { name: "low", color: theme.leak, dashed: true, width: 1 },
    { name: "high", color: theme.leak, dashed: true, width: 1 },
  ];
  return (
    <>
      <Chart
        label={`Live bytes of the site, growing by ${byteRate(growth.bytes_per_second)} to ${bytes(evidence.live_bytes)}`}
        lines={lines}
        data={data}
        height={200}
        format={bytes}
      />
      <p className="note keys">
        <span style={{ color: theme.accent }}>— live bytes</span> <span style={{ color: theme.leak }}>— fitted growth</span>{" "}
        <span>┄ its {Math.round(growth.confidence * 100)} % interval</span>
      </p>
    </>
  );
}
