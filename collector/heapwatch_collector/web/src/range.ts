// How far back the page looks, and how often it looks again.

export interface Range {
  key: string;
  name: string;
  seconds: number;
}

export const RANGES: readonly Range[] = [
  { key: "5m", name: "5 min", seconds: 5 * 60 },
  { key: "15m", name: "15 min", seconds: 15 * 60 },
  { key: "1h", name: "1 h", seconds: 3600 },
  { key: "6h", name: "6 h", seconds: 6 * 3600 },
  { key: "24h", name: "24 h", seconds: 24 * 3600 },
  { key: "7d", name: "7 d", seconds: 7 * 24 * 3600 },
];

export const STANDARD = RANGES[2] as Range;

const POINTS_PER_LINE = 240;

/** The range that the address names, or undefined. */
export function chosenRange(query: URLSearchParams): Range | undefined {
  const key = query.get("range");
  return RANGES.find((range) => range.key === key);
}

/** The shortest range that holds what was seen from `first` to `last`, of the standard length at most, or that reaches it at all. */
export function fittingRange(first: number, last: number, now: number): Range {
  const wanted = Math.max(Math.min(now - first, STANDARD.seconds), now - last);
  return RANGES.find((range) => range.seconds >= wanted) ?? (RANGES.at(-1) as Range);
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
