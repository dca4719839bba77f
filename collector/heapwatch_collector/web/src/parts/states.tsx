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
  if (of.data !== undefined) return children(of.data);
  return of.error ? <Failure error={of.error} /> : <Loading what={what} />;
}
