// Canvas can't read CSS variables: the colours of the present scheme as plain values.

import { useSyncExternalStore } from "react";

export interface Theme {
  text: string;
  muted: string;
  line: string;
  surface: string;
  accent: string;
  leak: string;
  warn: string;
  good: string;
  series: string[];
  flame: string[];
  flameText: string;
  hit: string;
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
let present: Theme | undefined;

function read(): Theme {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const list = (name: string): string[] => value(name).split(/\s+/);
  return {
    text: value("text"),
    muted: value("muted"),
    line: value("line"),
    surface: value("surface"),
    accent: value("accent"),
    leak: value("leak"),
    warn: value("warn"),
    good: value("good"),
    series: list("series"),
    flame: list("flame"),
    flameText: value("flame-text"),
    hit: value("hit"),
  };
}

function subscribe(changed: () => void): () => void {
  const renew = (): void => {
    present = undefined;
    changed();
  };
  dark.addEventListener("change", renew);
  return () => dark.removeEventListener("change", renew);
}

export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, () => (present ??= read()));
}

export function seriesColor(theme: Theme, index: number): string {
  return theme.series[index % theme.series.length] ?? theme.accent;
}
