import { useMemo, type ReactNode } from "react";
import type { Holder } from "../api/documents";
import { percent } from "../format";
import { holderTree, type HolderNode } from "./holders";

const ROOTS: Record<Holder["root"], string> = {
  module: "module global",
  class: "class attribute",
  thread: "thread",
  frame: "running frame",
  generator: "generator",
  C: "held from C code",
  unknown: "unknown holder",
};

/** What keeps the objects alive, from the root down, with the share of the examined samples. */
export function HolderTree({ holders }: { holders: Holder[] }): ReactNode {
  const tree = useMemo(() => holderTree(holders), [holders]);
  return (
    <ul className="holders">
      {tree.map((node) => (
        <Branch key={`${node.root} ${node.label} ${node.type}`} node={node} />
      ))}
    </ul>
  );
}

function Branch({ node }: { node: HolderNode }): ReactNode {
  const merged = node.keys.size > 1;
  return (
    <li>
      <div className="branch">
        <span className="number share">{percent(node.share)}</span>
        <span className="branch-bar" aria-hidden="true">
          <span style={{ width: `${Math.min(100, node.share * 100)}%` }} />
        </span>
        <code title={merged ? [...node.keys].join("\n") : node.label}>{merged ? "[…]" : node.label}</code>
        {merged && <span className="muted">{node.keys.size} keys seen</span>}
        {node.type && <code className="type">{node.type}</code>}
        {node.root && <span className="tag">{ROOTS[node.root]}</span>}
      </div>
      {node.children.length > 0 && (
        <ul>
          {node.children.map((child) => (
            <Branch key={`${child.label} ${child.type}`} node={child} />
          ))}
        </ul>
      )}
    </li>
  );
}
