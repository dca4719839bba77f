// What a set of analyses says, in one sentence and in one order.

import type { Analysis, Evidence, Forecast, Status } from "./api/documents";
import { byteRate, bytes, duration } from "./format";

const WORST_FIRST: Status[] = ["leak", "learning", "no leak"];

export function statusOf(analyses: Analysis[]): Status {
  return WORST_FIRST.find((status) => analyses.some((a) => a.status === status)) ?? "unknown";
}

/** Verdicts of all analyses: leaks before suspicions, the fastest growth first. */
export function verdictsOf(analyses: Analysis[]): Evidence[] {
  const rank = (e: Evidence): number => (e.verdict === "leak" ? 0 : 1);
  return analyses
    .flatMap((a) => a.verdicts)
    .sort((a, b) => rank(a) - rank(b) || b.growth.bytes_per_second - a.growth.bytes_per_second);
}

export interface DatedForecast {
  forecast: Forecast;
  /** Unix seconds from which the forecast counts. */
  from: number;
}

/** The forecast that comes true first, of the verdicts and of the instances. */
export function firstForecast(analyses: Analysis[]): DatedForecast | undefined {
  const all = analyses.flatMap((a): DatedForecast[] => [
    ...a.verdicts.flatMap((v) => (v.forecast ? [{ forecast: v.forecast, from: v.time }] : [])),
    ...a.forecasts.flatMap((f) => (f.forecast ? [{ forecast: f.forecast, from: a.time }] : [])),
  ]);
  return all.sort((a, b) => a.from + a.forecast.seconds - (b.from + b.forecast.seconds))[0];
}

/** The headline's words; the forecast, which holds times, is put behind them by the view. */
export function headline(analyses: Analysis[]): string {
  const verdicts = verdictsOf(analyses);
  const leaks = verdicts.filter((v) => v.verdict === "leak");
  const worst = leaks[0];
  if (worst) return leakSentence(worst, leaks.length);
  return [stateSentence(analyses), suspicionSentence(verdicts)].filter(Boolean).join(" ");
}

function stateSentence(analyses: Analysis[]): string {
  const instances = analyses.reduce((sum, a) => sum + a.instances, 0);
  const seen = `${instances} ${instances === 1 ? "instance" : "instances"}`;
  const window = Math.max(0, ...analyses.map((a) => a.window));
  switch (statusOf(analyses)) {
    case "no leak":
      return `No leak found in ${seen} over the last ${duration(window)}.`;
    case "learning":
      return `Learning: ${seen} seen, not yet long enough to say whether memory leaks.`;
    default:
      return "Nothing has been analysed yet.";
  }
}

function suspicionSentence(suspicions: Evidence[]): string {
  const worst = suspicions[0];
  if (!worst) return "";
  if (suspicions.length === 1 && worst.parts?.length) {
    return `Memory outside of Python grows by ${byteRate(worst.growth.bytes_per_second)}; no line of Python explains it.`;
  }
  const sites = suspicions.length === 1 ? "One site grows" : `${suspicions.length} sites grow`;
  return `${sites}, not proved a leak: the fastest is ${placeOf(worst)} with ${byteRate(worst.growth.bytes_per_second)}.`;
}

function leakSentence(worst: Evidence, leaks: number): string {
  const { growth } = worst;
  const more = leaks > 1 ? `, the fastest of ${leaks} leaks,` : "";
  const what = worst.type ? ` of ${worst.type}` : "";
  return `${placeOf(worst)}${more} leaks ${byteRate(growth.bytes_per_second)}${what}; ${bytes(worst.live_bytes)} so far.`;
}

function placeOf({ site, parts }: Evidence): string {
  if (parts?.length) return site.function;
  return `${site.function} (${site.file.split("/").pop() ?? site.file}:${site.line})`;
}
