// Holder chains merged into a tree: what the samples' chains have in common is one branch.

import type { Holder } from "../api/documents";

export interface HolderNode {
  /** "app.cache.SESSIONS" at a root, below it ".items" or "['u:17']". */
  label: string;
  type: string;
  root: Holder["root"] | null;
  share: number;
  /** Different keys or indexes that were merged into this branch. */
  keys: Set<string>;
  children: HolderNode[];
}

const STEP = /\[(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\]])*\]|\.[^.[\s]+|\s->\s[^\s[]+|\([^)]*\)/g;

interface Step {
  text: string;
  type: string;
}

/** The path as steps from the root; the last steps pair with the last types. */
export function steps(holder: Holder): Step[] {
  const parts = split(holder.path);
  const below = Math.min(parts.tail.length, Math.max(0, holder.types.length - 1));
  const cut = parts.tail.length - below;
  const root = parts.head + parts.tail.slice(0, cut).join("");
  const types = holder.types.slice(-(below + 1));
  return [root, ...parts.tail.slice(cut)].map((text, i) => ({ text: text.trim(), type: types[i] ?? "" }));
}

function split(path: string): { head: string; tail: string[] } {
  const tail: string[] = [];
  let head = path;
  let from = 0;
  for (const match of path.matchAll(STEP)) {
    if (match.index === 0) continue;
    if (tail.length === 0) head = path.slice(0, match.index);
    else if (match.index > from) tail.push(path.slice(from, match.index));
    tail.push(match[0]);
    from = match.index + match[0].length;
  }
  if (tail.length > 0 && from < path.length) tail.push(path.slice(from));
  return { head, tail };
}

const isKey = (text: string): boolean => text.startsWith("[");

/** Steps into a container by key or index are one branch: which key doesn't matter to what holds. */
function branchOf(step: Step): string {
  return `${isKey(step.text) ? "[]" : step.text} ${step.type}`;
}

export function holderTree(holders: Holder[]): HolderNode[] {
  const top: HolderNode[] = [];
  for (const holder of holders) {
    let level = top;
    for (const [i, step] of steps(holder).entries()) {
      const node = find(level, step, i === 0 ? holder.root : null);
      node.share += holder.share;
      if (isKey(step.text)) node.keys.add(step.text);
      level = node.children;
    }
  }
  return sorted(top);
}

function find(level: HolderNode[], step: Step, root: Holder["root"] | null): HolderNode {
  const branch = branchOf(step);
  const known = level.find((node) => node.root === root && branchOf({ text: node.label, type: node.type }) === branch);
  if (known) return known;
  const made: HolderNode = { label: step.text, type: step.type, root, share: 0, keys: new Set(), children: [] };
  level.push(made);
  return made;
}

function sorted(nodes: HolderNode[]): HolderNode[] {
  for (const node of nodes) sorted(node.children);
  return nodes.sort((a, b) => b.share - a.share);
}
