import type { Theme } from "../charts/theme";
import type { Bar, Frame } from "./graph";

export const ROW = 19;

export interface Look {
  theme: Theme;
  /** Lower-case text that found frames hold; empty: no search. */
  search: string;
  /** Names of functions that leak. */
  leaking: ReadonlySet<string>;
  pointed: Frame | null;
  zoomed: Frame;
}

function colorIndex(name: string, colors: number): number {
  // The module or file decides, so that neighbours of one package look alike.
  const key = name.replace(/[:(].*$/, "").split(".")[0] ?? name;
  let hash = 0;
  for (let i = 0; i < key.length; i += 1) hash = (hash * 31 + key.charCodeAt(i)) | 0;
  return Math.abs(hash) % colors;
}

function fillOf(bar: Bar, look: Look): string {
  const { theme, search, leaking } = look;
  const { name } = bar.frame;
  if (search) return name.toLowerCase().includes(search) ? theme.hit : theme.line;
  if (leaking.has(name)) return theme.leak;
  return theme.flame[colorIndex(name, theme.flame.length)] ?? theme.accent;
}

function textOf(bar: Bar, look: Look): string {
  if (look.search) return bar.frame.name.toLowerCase().includes(look.search) ? "#1b1b1b" : look.theme.muted;
  return look.leaking.has(bar.frame.name) ? look.theme.surface : look.theme.flameText;
}

/** Paints `bars` at device resolution; each row is ROW pixels high, the root on top. */
export function paint(canvas: HTMLCanvasElement, bars: Bar[], look: Look): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const bar of bars) paintBar(context, bar, look);
}

function paintBar(context: CanvasRenderingContext2D, bar: Bar, look: Look): void {
  const y = bar.frame.depth * ROW;
  const width = Math.max(0.5, bar.width - 1);
  context.globalAlpha = bar.frame.depth < look.zoomed.depth ? 0.5 : 1;
  context.fillStyle = fillOf(bar, look);
  context.fillRect(bar.x, y, width, ROW - 1);
  if (bar.width > 30) {
    context.fillStyle = textOf(bar, look);
    context.fillText(clipped(context, bar.frame.name, width - 8), bar.x + 4, y + ROW / 2);
  }
  if (bar.frame === look.pointed) {
    context.globalAlpha = 1;
    context.strokeStyle = look.theme.text;
    context.lineWidth = 1.5;
    context.strokeRect(bar.x + 0.75, y + 0.75, Math.max(1, width - 1.5), ROW - 2.5);
  }
}

const AVERAGE_CHARACTER = 6;

function clipped(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (text.length * AVERAGE_CHARACTER * 1.4 < width || context.measureText(text).width <= width) return text;
  let end = Math.max(1, Math.floor(width / AVERAGE_CHARACTER));
  let part = `${text.slice(0, end)}…`;
  while (end > 1 && context.measureText(part).width > width) {
    end -= 1;
    part = `${text.slice(0, end)}…`;
  }
  return end > 1 ? part : "";
}
