// The holder chains as a graph: nodes are types, edges the fields that lead from one to the next.

import type { Evidence, Holder } from "../api/documents";
import { steps } from "./holders";

export interface GraphNode {
  id: string;
  /** The root's path, or the type. */
  label: string;
  type: string;
  root: Holder["root"] | null;
  /** References from here to the objects: 0 for the objects themselves. */
  distance: number;
  share: number;
  bytes: number;
}

export interface GraphEdge {
  from: string;
  to: string;
  field: string;
  share: number;
}

export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
}

/** Chains are laid over each other from the objects upwards: types at the same distance are one node. */
export function objectGraph(evidence: Evidence): Graph {
  const nodes = new Map<string, GraphNode>();
  const edges = new Map<string, GraphEdge>();
  for (const holder of evidence.holders) {
    const path = steps(holder);
    let before = "";
    for (const [i, step] of path.entries()) {
      const distance = path.length - 1 - i;
      const root = i === 0 ? holder.root : null;
      const label = root === null ? step.type || "?" : step.text;
      const id = `${root ?? ""}/${distance}/${label}`;
      const node = nodes.get(id) ?? { id, label, type: step.type, root, distance, share: 0, bytes: 0 };
      node.share += holder.share;
      node.bytes = Math.min(1, node.share) * evidence.live_bytes;
      nodes.set(id, node);
      if (before) link(edges, before, id, field(step.text), holder.share);
      before = id;
    }
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

function link(edges: Map<string, GraphEdge>, from: string, to: string, name: string, share: number): void {
  const id = `${from} ${to} ${name}`;
  const edge = edges.get(id) ?? { from, to, field: name, share: 0 };
  edge.share += share;
  edges.set(id, edge);
}

/** Which key or index it is doesn't matter to how types relate. */
const field = (text: string): string => (text.startsWith("[") ? "[…]" : text);

export interface Placed {
  node: GraphNode;
  x: number;
  y: number;
}

/** Columns by distance, the objects rightmost; in a column the largest share first. */
export function place(graph: Graph, column: number, row: number): { placed: Map<string, Placed>; columns: number; rows: number } {
  const longest = Math.max(0, ...graph.nodes.map((node) => node.distance));
  const placed = new Map<string, Placed>();
  let rows = 1;
  for (let distance = longest; distance >= 0; distance--) {
    const here = graph.nodes.filter((node) => node.distance === distance).sort((a, b) => b.share - a.share);
    rows = Math.max(rows, here.length);
    for (const [i, node] of here.entries()) placed.set(node.id, { node, x: (longest - distance) * column, y: i * row });
  }
  return { placed, columns: longest + 1, rows };
}
