// Profiles through the Pyroscope query API (Connect, JSON): int64 values are strings.

import { call } from "./client";
import type { Span } from "./collector";

export const PROFILE_TYPES = [
  { id: "memory:inuse_space:bytes:space:bytes", name: "Live bytes", unit: "bytes" },
  { id: "memory:inuse_objects:count:space:bytes", name: "Live objects", unit: "count" },
  { id: "memory:alloc_space:bytes:space:bytes", name: "Allocated bytes", unit: "bytes" },
  { id: "memory:alloc_objects:count:space:bytes", name: "Allocated objects", unit: "count" },
] as const;

export type ProfileType = (typeof PROFILE_TYPES)[number];

/** Bars as Pyroscope packs them: per level groups of [gap to the previous bar, total, self, name]. */
export interface PackedGraph {
  names?: string[];
  levels?: { values?: (string | number)[] }[];
  total?: string | number;
}

const querier = "querier.v1.QuerierService";

function selector(labels: Record<string, string | undefined>): string {
  const pairs = Object.entries(labels)
    .filter((pair): pair is [string, string] => pair[1] !== undefined)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `{${pairs.join(",")}}`;
}

const milliseconds = (span: Span): { start: string; end: string } => ({
  start: String(Math.floor(span.start * 1000)),
  end: String(Math.ceil(span.end * 1000)),
});

export async function stacktraces(
  type: ProfileType,
  labels: Record<string, string | undefined>,
  span: Span,
  maxNodes: number,
  signal: AbortSignal,
): Promise<PackedGraph> {
  const request = { profileTypeID: type.id, labelSelector: selector(labels), ...milliseconds(span), maxNodes: String(maxNodes) };
  const answer = await call<{ flamegraph?: PackedGraph }>(`${querier}/SelectMergeStacktraces`, request, signal);
  return answer.flamegraph ?? {};
}

export async function labelValues(name: string, service: string, span: Span, signal: AbortSignal): Promise<string[]> {
  const request = { name, matchers: [selector({ service_name: service })], ...milliseconds(span) };
  return (await call<{ names?: string[] }>(`${querier}/LabelValues`, request, signal)).names ?? [];
}
