import type { ReactNode } from "react";
import type { Call } from "../api/documents";
import { shortPath } from "../format";

export function placeText(call: Call): string {
  return call.line > 0 ? `${call.file}:${call.line}` : call.file;
}

/** A function with its file and line; the whole path is in the title. */
export function Source({ call }: { call: Call }): ReactNode {
  return (
    <span className="source" title={placeText(call)}>
      <code className="function">{call.function}</code>{" "}
      {call.file !== "[native]" && (
        <code className="place">
          {shortPath(call.file)}
          {call.line > 0 && `:${call.line}`}
        </code>
      )}
    </span>
  );
}
