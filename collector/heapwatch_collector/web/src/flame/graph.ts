// Pyroscope's packed bars as a tree, and which of them are seen at a zoom.

import type { PackedGraph } from "../api/profiles";

export interface Frame {
  name: string;
  depth: number;
  /** Left edge and width in units of the profile. */
  left: number;
  total: number;
  self: number;
  parent: Frame | null;
  children: Frame[];
}

/** The root frame of `packed`; undefined when the profile is empty. */
export function unpack(packed: PackedGraph): Frame | undefined {
  const names = packed.names ?? [];
  let above: Frame[] = [];
  let root: Frame | undefined;
  for (const [depth, level] of (packed.levels ?? []).entries()) {
    const bars = unpackLevel(level.values ?? [], depth, names);
    adopt(above, bars);
    root ??= bars[0];
    above = bars;
  }
  return root && root.total > 0 ? root : undefined;
}

function unpackLevel(values: readonly (string | number)[], depth: number, names: string[]): Frame[] {
  const bars: Frame[] = [];
  let edge = 0;
  for (let i = 0; i + 3 < values.length; i += 4) {
    const left = edge + Number(values[i]);
    const total = Number(values[i + 1]);
    const name = names[Number(values[i + 3])] ?? "?";
    bars.push({ name, depth, left, total, self: Number(values[i + 2]), parent: null, children: [] });
    edge = left + total;
  }
  return bars;
}

/** Gives each bar the parent whose width it lies in; both lists run from left to right. */
function adopt(parents: Frame[], bars: Frame[]): void {
  let i = 0;
  for (const bar of bars) {
    while (i < parents.length - 1 && bar.left >= (parents[i] as Frame).left + (parents[i] as Frame).total) i += 1;
    const parent = parents[i];
    if (!parent) continue;
    bar.parent = parent;
    parent.children.push(bar);
  }
}

export interface Bar {
  frame: Frame;
  x: number;
  width: number;
}

const NARROWEST = 0.7;

/** The bars to paint when `zoomed` fills `width` pixels: its callers above it, all that it calls below. */
export function layout(zoomed: Frame, width: number): Bar[] {
  const bars: Bar[] = [];
  for (let caller = zoomed.parent; caller; caller = caller.parent) bars.push({ frame: caller, x: 0, width });
  const scale = width / zoomed.total;
  const waiting = [zoomed];
  for (let frame = waiting.pop(); frame; frame = waiting.pop()) {
    const bar = { frame, x: (frame.left - zoomed.left) * scale, width: frame.total * scale };
    if (bar.width < NARROWEST) continue;
    bars.push(bar);
    waiting.push(...frame.children);
  }
  return bars;
}

export function* walk(root: Frame): Generator<Frame> {
  const waiting = [root];
  for (let frame = waiting.pop(); frame; frame = waiting.pop()) {
    yield frame;
    waiting.push(...frame.children);
  }
}

/** Share of the profile below frames whose name holds `text`, each sample counted once. */
export function matched(root: Frame, text: string): number {
  const wanted = text.toLowerCase();
  let sum = 0;
  const waiting = [root];
  for (let frame = waiting.pop(); frame; frame = waiting.pop()) {
    if (frame.name.toLowerCase().includes(wanted)) sum += frame.total;
    else waiting.push(...frame.children);
  }
  return sum / root.total;
}

export interface FunctionRow {
  name: string;
  self: number;
  total: number;
}

/** Functions by their own samples; a recursive call counts once in a function's total. */
export function functions(root: Frame): FunctionRow[] {
  const rows = new Map<string, FunctionRow>();
  for (const frame of walk(root)) {
    if (frame === root) continue;
    const row = rows.get(frame.name) ?? { name: frame.name, self: 0, total: 0 };
    row.self += frame.self;
    if (!calledBy(frame, frame.name)) row.total += frame.total;
    rows.set(frame.name, row);
  }
  return [...rows.values()].sort((a, b) => b.self - a.self || b.total - a.total);
}

function calledBy(frame: Frame, name: string): boolean {
  for (let caller = frame.parent; caller; caller = caller.parent) if (caller.name === name) return true;
  return false;
}

/** Where the same call path lies in a newer profile: as far down as it still exists. */
export function relocate(root: Frame, old: Frame | undefined): Frame {
  const path: string[] = [];
  for (let frame = old; frame?.parent; frame = frame.parent) path.unshift(frame.name);
  let found = root;
  for (const name of path) {
    const next = found.children.find((child) => child.name === name);
    if (!next) break;
    found = next;
  }
  return found;
}
