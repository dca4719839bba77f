// A flame graph on a canvas: point, click or walk with the arrow keys; Enter zooms, Escape zooms out.

import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type MouseEvent, type ReactNode, type RefObject } from "react";
import { useTheme } from "../charts/theme";
import { percent } from "../format";
import { layout, relocate, type Bar, type Frame } from "./graph";
import { paint, ROW } from "./paint";

interface FlameProps {
  root: Frame;
  search: string;
  leaking: ReadonlySet<string>;
  format: (value: number) => string;
}

function useWidth(): [RefObject<HTMLDivElement | null>, number] {
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, []);
  return [host, width];
}

/** The frame that an arrow key leads to. */
function step(key: string, from: Frame): Frame | null {
  const beside = (by: number): Frame | null => {
    const siblings = from.parent?.children ?? [from];
    return siblings[siblings.indexOf(from) + by] ?? null;
  };
  const widest = (): Frame | null => [...from.children].sort((a, b) => b.total - a.total)[0] ?? null;
  switch (key) {
    case "ArrowUp":
      return from.parent;
    case "ArrowDown":
      return widest();
    case "ArrowLeft":
      return beside(-1);
    case "ArrowRight":
      return beside(1);
    default:
      return null;
  }
}

/** Brings the row at `depth` into view, with one more above and below it. */
function scrollTo(host: HTMLElement, depth: number): void {
  const top = (depth - 1) * ROW;
  const bottom = (depth + 2) * ROW;
  if (top < host.scrollTop) host.scrollTop = top;
  else if (bottom > host.scrollTop + host.clientHeight) host.scrollTop = bottom - host.clientHeight;
}

export function Flame({ root, search, leaking, format }: FlameProps): ReactNode {
  const theme = useTheme();
  const [host, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [zoomChoice, setZoomed] = useState<Frame>();
  const [pointChoice, setPointed] = useState<Frame | null>(null);
  const zoomed = useMemo(() => relocate(root, zoomChoice), [root, zoomChoice]);
  const pointed = useMemo(() => (pointChoice ? relocate(root, pointChoice) : null), [root, pointChoice]);
  const bars = useMemo(() => (width ? layout(zoomed, width) : []), [zoomed, width]);
  const rows = useMemo(() => Math.max(0, ...bars.map((bar) => bar.frame.depth)) + 1, [bars]);

  useEffect(() => {
    if (canvas.current) paint(canvas.current, bars, { theme, search: search.toLowerCase(), leaking, pointed, zoomed });
  }, [bars, theme, search, leaking, pointed, zoomed, width, rows]);

  const under = (event: MouseEvent): Bar | undefined => {
    const box = event.currentTarget.getBoundingClientRect();
    const x = event.clientX - box.left;
    const depth = Math.floor((event.clientY - box.top) / ROW);
    return bars.find((bar) => bar.frame.depth === depth && x >= bar.x && x < bar.x + Math.max(1, bar.width));
  };
  const pressed = (event: KeyboardEvent): void => {
    const from = pointed ?? zoomed;
    const next = step(event.key, from);
    if (next) {
      setPointed(next);
      if (host.current) scrollTo(host.current, next.depth);
    } else if (event.key === "Enter") setZoomed(from);
    else if (event.key === "Escape") setZoomed(zoomed.parent ?? root);
    else return;
    event.preventDefault();
  };
  return (
    <div className="flame">
      <Told frame={pointed ?? zoomed} root={root} format={format} />
      <div ref={host} className="flame-host">
        <canvas
          ref={canvas}
          tabIndex={0}
          role="application"
          aria-roledescription="flame graph"
          aria-label={`Flame graph of ${format(root.total)}, zoomed to ${zoomed.name}. Arrow keys walk, Enter zooms, Escape zooms out.`}
          width={width * devicePixelRatio}
          height={rows * ROW * devicePixelRatio}
          style={{ width, height: rows * ROW }}
          onPointerMove={(event) => setPointed(under(event)?.frame ?? null)}
          onPointerLeave={() => setPointed(null)}
          onClick={(event) => {
            const bar = under(event);
            if (bar) setZoomed(bar.frame);
          }}
          onKeyDown={pressed}
        />
      </div>
      {zoomed !== root && (
        <p className="flame-zoom">
          Zoomed to <strong>{zoomed.name}</strong>{" "}
          <button type="button" onClick={() => setZoomed(root)}>
            Show all
          </button>
        </p>
      )}
    </div>
  );
}

/** One line on the frame under the pointer: name, size, share. */
function Told({ frame, root, format }: { frame: Frame; root: Frame; format: (value: number) => string }): ReactNode {
  return (
    <p className="flame-told" aria-live="polite">
      <code>{frame.name}</code>{" "}
      <span className="number">
        {format(frame.total)} ({percent(frame.total / root.total)})
      </span>
      {frame.self > 0 && frame !== root && <span className="muted number">, itself {format(frame.self)}</span>}
    </p>
  );
}
