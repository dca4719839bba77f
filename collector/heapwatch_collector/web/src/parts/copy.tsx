import { useState, type ReactNode } from "react";

// navigator.clipboard exists only on https and localhost; a collector is often read over plain http.
function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

export function CopyButton({ name, text }: { name: string; text: () => string }): ReactNode {
  const [said, setSaid] = useState("");
  const press = async (): Promise<void> => {
    setSaid((await copy(text())) ? "Copied" : "Not copied: the browser refused");
    window.setTimeout(() => setSaid(""), 2500);
  };
  return (
    <button type="button" onClick={() => void press()}>
      <span aria-live="polite">{said || name}</span>
    </button>
  );
}
