// What the garbage-collection tuner and the defence did, as marks on the timeline: increases of their counters.

import type { Series } from "../api/documents";
import type { Mark } from "./timeline";

const ACTORS: Record<string, { name: string; mode: string }> = {
  "heapwatch.gc.tuner.actions": { name: "GC tuner", mode: "heapwatch.gc.mode" },
  "heapwatch.defence.actions": { name: "defence", mode: "heapwatch.defence.mode" },
};

export const ACTIONS = Object.keys(ACTORS);
export const DEFENCE = "heapwatch.defence.state";

/** Done many times a minute: they would hide the others. */
const FREQUENT = new Set(["young", "idle", "full"]);

/** A mark for each rare action that was done, not only thought of, between two points. */
export function actionMarks(series: Series[]): Mark[] {
  return series.flatMap((s) => {
    const actor = ACTORS[s.name];
    const action = String(s.attributes["heapwatch.action"] ?? "");
    if (!actor || s.attributes[actor.mode] !== "act" || FREQUENT.has(action)) return [];
    return increases(s.points).map((time): Mark => ({ time, kind: "action", text: `${actor.name}: ${action}` }));
  });
}

function increases(points: number[][]): number[] {
  return points.flatMap(([time = 0, value = 0], i) => (i > 0 && value > (points[i - 1]?.[1] ?? 0) ? [time] : []));
}

const STATES = ["ok", "soft", "shed", "drain"];

/** The state of each instance's defence that isn't well, by what it does. */
export function defenceStates(series: Series[]): Map<string, string> {
  const latest = series.filter((s) => s.name === DEFENCE).map((s): [string, string] => [s.instance, STATES[Math.round(s.points.at(-1)?.[1] ?? 0)] ?? "ok"]);
  return new Map(latest.filter(([, state]) => state !== "ok"));
}
