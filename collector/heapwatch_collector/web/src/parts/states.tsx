import type { ReactNode } from "react";
import type { ApiError } from "../api/client";
import type { Loaded } from "../query";

export function Loading({ what }: { what: string }): ReactNode {
  return (
    <p className="loading" role="status">
      Loading {what}…
    </p>
  );
}

export function Failure({ error }: { error: ApiError }): ReactNode {
  // The shell asks for the token.
  if (error.status === 401) return null;
  return (
    <div className="failure" role="alert">
      <strong>{error.message}</strong> {error.mend}
    </div>
  );
}

interface ReadyProps<T> {
  of: Loaded<T>;
  what: string;
  children: (data: T) => ReactNode;
}

/** The data once there is some; until then that it loads, or why it doesn't. */
export function Ready<T>({ of, what, children }: ReadyProps<T>): ReactNode {
  if (of.data === undefined) return of.error ? <Failure error={of.error} /> : <Loading what={what} />;
  return (
    <div className={of.pending ? "pending" : ""} aria-busy={of.pending}>
      {of.error && isRefusal(of.error) && <Failure error={of.error} />}
      {children(of.data)}
    </div>
  );
}

/** A refusal concerns this document; that the collector is ill or gone is said once, by the shell. */
function isRefusal(error: ApiError): boolean {
  return error.status >= 400 && error.status < 500;
}
