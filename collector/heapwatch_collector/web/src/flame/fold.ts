// Takes Python's import machinery out of a flame graph: each import is five frames that say nothing.

import type { Frame } from "./graph";

const MACHINERY = new Set([
  "_find_and_load",
  "_find_and_load_unlocked",
  "_load_unlocked",
  "_LoaderBasics.exec_module",
  "_call_with_frames_removed",
  "_handle_fromlist",
  "_gcd_import",
  "import_module",
  "exec_module",
  // The agent's own look at what is imported.
  "_Watcher.find_spec.<locals>.exec_module",
]);

/** Whether anything was folded; `frame` and all below it are changed in place. */
export function foldImports(frame: Frame): boolean {
  let folded = false;
  let waiting = [...frame.children].reverse();
  const kept: Frame[] = [];
  for (let child = waiting.pop(); child; child = waiting.pop()) {
    if (MACHINERY.has(child.name)) {
      folded = true;
      frame.self += child.self;
      waiting = waiting.concat([...child.children].reverse());
      continue;
    }
    child.parent = frame;
    child.depth = frame.depth + 1;
    kept.push(child);
    folded = foldImports(child) || folded;
  }
  frame.children = kept;
  return folded;
}
