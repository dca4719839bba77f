// The figures that decided a verdict, beside what they had to reach.

import { byteRate, duration, figure } from "../format";

export interface Figure {
  name: string;
  meaning: string;
  value: number | undefined;
  needs: "at least" | "below" | "";
  threshold: number | undefined;
  /** undefined where nothing is required. */
  met: boolean | undefined;
  text: (value: number) => string;
}

interface Known {
  name: string;
  meaning: string;
  needs: "at least" | "below" | "";
  threshold?: string;
  text?: (value: number) => string;
}

const KNOWN: Record<string, Known> = {
  z: { name: "Growth over noise", meaning: "standard errors above zero", needs: "at least", threshold: "leak_z" },
  p: { name: "Chance of no growth", meaning: "probability that noise alone shows this", needs: "" },
  samples: { name: "New sampled blocks that survived", meaning: "count", needs: "at least" },
  events: { name: "Steps it came in", meaning: "count; one container that resizes comes in few", needs: "at least" },
  ongoing: { name: "Still growing at the end", meaning: "latest growth over the mean growth", needs: "at least" },
  slowing_z: { name: "Slowing down", meaning: "standard errors by which growth slows", needs: "below" },
  saturation: { name: "Levelling off", meaning: "log-likelihood by which a curve that levels off fits better", needs: "below" },
  stays: { name: "Objects that stay", meaning: "of those that outlive a request, the share that is never freed", needs: "at least" },
  outlives_requests: { name: "Objects that outlive a request", meaning: "share of all", needs: "" },
  span: { name: "Watched for", meaning: "time judged", needs: "at least", text: duration },
  rss: { name: "Growth of RSS", meaning: "all of the process’s memory", needs: "", text: byteRate },
  python: { name: "Growth of Python’s memory", meaning: "what sampled lines asked for and keep", needs: "", text: byteRate },
  family_sites: { name: "Sites of the same leak", meaning: "count", needs: "" },
};

// Shown elsewhere on the page, or not a figure that decides.
const ELSEWHERE = new Set(["first_seen", "last_seen", "family_bytes_per_second"]);

export function figures(statistics: Record<string, number>, thresholds: Record<string, number>): Figure[] {
  const names = [...Object.keys(KNOWN).filter((name) => name in statistics), ...Object.keys(statistics).filter((name) => !(name in KNOWN))];
  return names.filter((name) => !ELSEWHERE.has(name)).map((name) => figureOf(name, statistics[name], thresholds));
}

function figureOf(name: string, value: number | undefined, thresholds: Record<string, number>): Figure {
  const known: Known = KNOWN[name] ?? { name: name.replaceAll("_", " "), meaning: "", needs: "" };
  const threshold = thresholds[known.threshold ?? name];
  const compared = value !== undefined && threshold !== undefined && known.needs !== "";
  const met = compared ? (known.needs === "below" ? value < threshold : value >= threshold) : undefined;
  return { name: known.name, meaning: known.meaning, value, needs: known.needs, threshold, met, text: known.text ?? figure };
}
