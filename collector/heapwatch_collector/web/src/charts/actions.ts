// What the garbage-collection tuner did, as marks on the timeline: increases of its counters.

import type { Series } from "../api/documents";
import type { Mark } from "./timeline";

export const ACTIONS = "heapwatch.gc.tuner.actions";

/** Done many times a minute: they would hide the others. */
const FREQUENT = new Set(["young", "idle", "full"]);

/** A mark for each rare action that was done, not only thought of, between two points. */
export function actionMarks(series: Series[]): Mark[] {
  return series
    .filter((s) => s.name === ACTIONS && s.attributes["heapwatch.gc.mode"] === "act")
    .flatMap((s) => {
      const action = String(s.attributes["heapwatch.action"] ?? "");
      return FREQUENT.has(action) ? [] : increases(s.points).map((time): Mark => ({ time, kind: "action", text: action }));
    });
}

function increases(points: number[][]): number[] {
  return points.flatMap(([time = 0, value = 0], i) => (i > 0 && value > (points[i - 1]?.[1] ?? 0) ? [time] : []));
}
