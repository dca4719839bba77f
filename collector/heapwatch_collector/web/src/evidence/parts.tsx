// Growth that no line of Python explains: what RSS consists of, and who may make it.

import type { ReactNode } from "react";
import type { Evidence } from "../api/documents";
import { byteRate, bytes } from "../format";
import { Panel } from "../parts/panel";

export function isOutside(evidence: Evidence): boolean {
  return (evidence.parts?.length ?? 0) > 0;
}

export function Parts({ evidence }: { evidence: Evidence }): ReactNode {
  const { parts = [], suspects = [] } = evidence;
  const most = Math.max(...parts.map((part) => part.bytes_per_second), 1);
  return (
    <div className="columns">
      <Panel title="What the memory consists of" note="the fastest growth first">
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Part</th>
                <th scope="col" className="number">Now</th>
                <th scope="col" className="number">Growth</th>
                <th scope="col" className="wide" aria-hidden="true" />
              </tr>
            </thead>
            <tbody>
              {parts.map((part) => (
                <tr key={part.name}>
                  <th scope="row">
                    {part.name} <span className="muted wide part-meaning">{part.meaning}</span>
                  </th>
                  <td className="number">{bytes(part.bytes)}</td>
                  <td className="number">{byteRate(part.bytes_per_second)}</td>
                  <td className="wide part-bar" aria-hidden="true">
                    <span className="share-bar">
                      <span style={{ width: `${Math.max(0, (part.bytes_per_second / most) * 100)}%` }} />
                    </span>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Panel>
      <Panel title="Who may make it" note="packages with extension modules, the most used first">
        {suspects.length > 0 ? (
          <ul className="plain">
            {suspects.map((name) => (
              <li key={name}>
                <code>{name}</code>
              </li>
            ))}
          </ul>
        ) : (
          <p className="empty">No package with extension modules is loaded.</p>
        )}
      </Panel>
    </div>
  );
}
