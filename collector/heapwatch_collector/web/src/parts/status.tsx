import type { ReactNode } from "react";
import type { Status } from "../api/documents";

// A shape beside the colour, so that the status is told without it.
const SHAPES: Record<Status | "suspicion", string> = {
  leak: "▲",
  suspicion: "△",
  "no leak": "✓",
  learning: "…",
  unknown: "?",
};

export function StatusTag({ status }: { status: Status | "suspicion" }): ReactNode {
  return (
    <span className={`status status-${status.replace(" ", "-")}`}>
      <span aria-hidden="true">{SHAPES[status]}</span> {status}
    </span>
  );
}
