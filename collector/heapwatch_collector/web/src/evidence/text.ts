// The evidence as plain text, for a ticket or a chat.

import type { Call, Evidence } from "../api/documents";
import { byteRate, byteRateInterval, bytes, count, objectRate, percent, utc } from "../format";
import { figures } from "./figures";
import { isOutside } from "./parts";

const frame = (call: Call): string => `${call.function} (${call.file}:${call.line})`;

export function asText(e: Evidence): string {
  const { growth, forecast, recommendation } = e;
  const outside = isOutside(e);
  const objects = (text: string): string => (outside ? "" : text);
  const lines = [
    `${e.verdict.toUpperCase()} in ${e.service} ${e.version}`.trim(),
    outside ? "  memory that no sampled line of Python asks for" : `  allocated by  ${frame(e.site)}`,
    ...(e.site.caller ? [`  called from   ${frame(e.site.caller)}`] : []),
    ...(outside ? [] : [`  type          ${e.type || "unknown"}`]),
    `  growth        ${byteRate(growth.bytes_per_second)} (${byteRateInterval(growth.low, growth.high, growth.bytes_per_second)})${objects(`, ${objectRate(growth.objects_per_second)}`)}`,
    `  live          ${bytes(e.live_bytes)}${objects(` in ${count(e.live_objects)} objects`)}`,
    `  instances     grows in ${e.growing} of ${e.instances}`,
    `  judged at     ${utc(e.time)}`,
  ];
  if (forecast) {
    const high = forecast.high === null ? "or never" : `at the latest ${utc(e.time + forecast.high)}`;
    lines.push(`  limit         ${bytes(forecast.limit)} met at ${utc(e.time + forecast.seconds)}, at the earliest ${utc(e.time + forecast.low)}, ${high}`);
  }
  section(lines, "Parts", (e.parts ?? []).map((p) => `${byteRate(p.bytes_per_second).padStart(14)}  ${p.name}, now ${bytes(p.bytes)}`));
  section(lines, "May be made by", e.suspects ?? []);
  section(lines, "Held by", e.holders.map((h) => `${percent(h.share).padStart(5)}  ${h.path}  (${h.root}: ${h.types.join(" -> ")})`));
  section(lines, "Made by endpoint", e.endpoints.map((s) => `${percent(s.share).padStart(5)}  ${s.name || "(outside a request)"}`));
  section(lines, "Why", [...e.reasons, ...figures(e.statistics, e.thresholds).map(figureLine)]);
  section(lines, "Stack, innermost first", e.site.stack.map(frame));
  if (recommendation) section(lines, "What to change", [recommendation.title, recommendation.text]);
  return `${lines.join("\n")}\n`;
}

function figureLine(figure: ReturnType<typeof figures>[number]): string {
  const value = figure.value === undefined ? "–" : figure.text(figure.value);
  const needs = figure.threshold === undefined || figure.needs === "" ? "" : `, needs ${figure.needs} ${figure.text(figure.threshold)}`;
  return `${figure.name}: ${value}${needs}`;
}

function section(lines: string[], title: string, rows: string[]): void {
  if (rows.length) lines.push("", title, ...rows.map((row) => `  ${row}`));
}
