// How far back the page looks, and how often it looks again.

export interface Range {
  key: string;
  name: string;
  seconds: number;
}

export const RANGES: readonly Range[] = [
  { key: "15m", name: "15 min", seconds: 15 * 60 },
  { key: "1h", name: "1 h", seconds: 3600 },
  { key: "6h", name: "6 h", seconds: 6 * 3600 },
  { key: "24h", name: "24 h", seconds: 24 * 3600 },
  { key: "7d", name: "7 d", seconds: 7 * 24 * 3600 },
];

const POINTS_PER_LINE = 240;

export function rangeOf(query: URLSearchParams): Range {
  const key = query.get("range");
  const standard = RANGES[1] as Range;
  return RANGES.find((range) => range.key === key) ?? standard;
}

/** Seconds between two points, so that a line has about as many points as the screen can show. */
export function stepOf(range: Range): number {
  return Math.max(5, Math.round(range.seconds / POINTS_PER_LINE / 5) * 5);
}

export function refreshSeconds(range: Range): number {
  return range.seconds <= 3600 ? 5 : range.seconds <= 6 * 3600 ? 15 : 60;
}

export function spanOf(range: Range): { start: number; end: number } {
  const end = Date.now() / 1000;
  return { start: end - range.seconds, end };
}
