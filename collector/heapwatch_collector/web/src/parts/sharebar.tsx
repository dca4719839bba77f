import type { ReactNode } from "react";
import type { Share } from "../api/documents";
import { percent } from "../format";

/** Named fractions as bars, the largest first. */
export function ShareBars({ shares }: { shares: Share[] }): ReactNode {
  return (
    <ul className="shares">
      {[...shares]
        .sort((a, b) => b.share - a.share)
        .map((part) => (
          <li key={part.name}>
            <span className="share-name">{part.name || "(outside a request)"}</span>
            <span className="share-bar" aria-hidden="true">
              <span style={{ width: `${Math.min(100, part.share * 100)}%` }} />
            </span>
            <span className="number">{percent(part.share)}</span>
          </li>
        ))}
    </ul>
  );
}
