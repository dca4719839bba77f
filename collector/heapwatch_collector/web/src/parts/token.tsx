import { useEffect, useRef, useState, type ReactNode } from "react";
import { hasToken, saveToken } from "../api/client";

/** Asks once for the collector's token and keeps it for this tab. */
export function TokenDialog({ onSaved }: { onSaved: () => void }): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const [token, setToken] = useState("");
  const refused = hasToken();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-labelledby="token-title" onCancel={(event) => event.preventDefault()}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!token.trim()) return;
          saveToken(token.trim());
          onSaved();
        }}
      >
        <h2 id="token-title">This collector asks for its token</h2>
        {refused && <p className="failure">The token was refused.</p>}
        <p>
          It is the value of <code>HEAPWATCH_TOKEN</code> that <code>heapwatch serve</code> was started with. It is
          kept until this tab closes.
        </p>
        <label>
          Token{" "}
          <input type="password" autoComplete="off" autoFocus value={token} onChange={(event) => setToken(event.target.value)} />
        </label>
        <button type="submit">Open</button>
      </form>
    </dialog>
  );
}
