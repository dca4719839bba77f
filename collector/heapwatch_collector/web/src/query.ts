// Data that is fetched, kept while it is fetched again, and refreshed while the page is looked at.

import { createContext, useContext, useEffect, useRef, useState } from "react";
import { ApiError } from "./api/client";

export interface Loaded<T> {
  data: T | undefined;
  error: ApiError | undefined;
  /** Unix seconds of the last success. */
  time: number | undefined;
}

/** Pause between two refreshes in seconds; null: no refresh. Provided by the shell. */
export const Refresh = createContext<number | null>(null);

/** Told of each success (undefined) and failure, so that the shell can ask for a token or say "stale". */
export const Report = createContext<(error: ApiError | undefined) => void>(() => undefined);

/**
 * Loads when `key` changes and again every refresh period. A refresh that fails keeps the old data and
 * says so; a new key starts empty.
 */
export function useQuery<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const refresh = useContext(Refresh);
  const report = useContext(Report);
  const [state, setState] = useState<Loaded<T> & { key: string }>({ key, data: undefined, error: undefined, time: undefined });
  const loader = useRef(load);
  loader.current = load;

  useEffect(() => {
    const abort = new AbortController();
    let timer: number | undefined;
    const once = async (): Promise<void> => {
      try {
        const data = await loader.current(abort.signal);
        if (abort.signal.aborted) return;
        setState({ key, data, error: undefined, time: Date.now() / 1000 });
        report(undefined);
      } catch (thrown) {
        if (abort.signal.aborted) return;
        const error = thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown), "Reload the page.");
        setState((old) => (old.key === key ? { ...old, error } : { key, data: undefined, error, time: undefined }));
        report(error);
      }
      if (refresh !== null) timer = window.setTimeout(whenVisible, refresh * 1000);
    };
    const whenVisible = (): void => {
      if (document.hidden) document.addEventListener("visibilitychange", () => void once(), { once: true, signal: abort.signal });
      else void once();
    };
    void once();
    return () => {
      abort.abort();
      window.clearTimeout(timer);
    };
  }, [key, refresh, report]);

  return state.key === key ? state : { data: undefined, error: undefined, time: undefined };
}
