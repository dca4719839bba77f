// Data that is fetched, kept while it is fetched again, and refreshed while the page is looked at.

import { createContext, useContext, useEffect, useRef, useState } from "react";
import { ApiError } from "./api/client";

export interface Loaded<T> {
  data: T | undefined;
  error: ApiError | undefined;
  /** Whether `data` still answers the previous question. */
  pending: boolean;
}

interface State<T> {
  key: string;
  data: T | undefined;
  error: ApiError | undefined;
}

/** Pause between two refreshes in seconds; null: no refresh. Provided by the shell. */
export const Refresh = createContext<number | null>(null);

/** Seconds after which a query that failed is tried again, however rarely it is refreshed. */
const RETRY = 5;

/** How a query last went; "gone" when nobody looks at it any more. */
export type Outcome = ApiError | "good" | "gone";

/** Told of each query's outcome, so that the shell can ask for a token or say that the page is stale. */
export const Report = createContext<(key: string, outcome: Outcome) => void>(() => undefined);

/**
 * Loads when `key` changes and again every refresh period. The old data stays until there is new; a refresh
 * that fails keeps it and says so, a new key that fails doesn't.
 */
export function useQuery<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const refresh = useContext(Refresh);
  const report = useContext(Report);
  const [state, setState] = useState<State<T>>({ key: "", data: undefined, error: undefined });
  const [round, setRound] = useState(0);
  const loader = useRef(load);
  loader.current = load;

  useEffect(() => {
    const abort = new AbortController();
    const settle = (outcome: Outcome, next: (old: State<T>) => State<T>): void => {
      if (abort.signal.aborted) return;
      setState(next);
      report(key, outcome);
    };
    loader.current(abort.signal).then(
      (data) => settle("good", () => ({ key, data, error: undefined })),
      (thrown: unknown) => {
        const error = thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown), "Reload the page.");
        settle(error, (old) => ({ key, data: old.key === key ? old.data : undefined, error }));
      },
    );
    return () => abort.abort();
  }, [key, round, report]);

  useEffect(() => () => report(key, "gone"), [key, report]);

  // The state is new after each answer: the pause counts from there.
  useEffect(() => {
    if (refresh === null || state.key !== key) return undefined;
    const pause = state.error ? Math.min(refresh, RETRY) : refresh;
    return whenLookedAt(pause, () => setRound((old) => old + 1));
  }, [refresh, state, key]);

  return { data: state.data, error: state.error, pending: state.key !== key };
}

/** Calls `act` in `seconds`, or when the page is next looked at after that; the answer cancels it. */
function whenLookedAt(seconds: number, act: () => void): () => void {
  const cancel = new AbortController();
  const due = (): void => {
    if (document.hidden) document.addEventListener("visibilitychange", act, { once: true, signal: cancel.signal });
    else act();
  };
  const timer = window.setTimeout(due, seconds * 1000);
  return () => {
    window.clearTimeout(timer);
    cancel.abort();
  };
}
