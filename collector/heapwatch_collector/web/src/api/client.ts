// One door to the collector: adds the token, turns every failure into an ApiError with a mend.

const TOKEN_KEY = "heapwatch.token";

export type Parameters = Record<string, string | number | undefined | readonly string[]>;

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 when the collector could not be reached. */
    readonly status: number,
    message: string,
    readonly mend: string,
  ) {
    super(message);
  }
}

export function saveToken(token: string): void {
  sessionStorage.setItem(TOKEN_KEY, token);
}

export function hasToken(): boolean {
  return sessionStorage.getItem(TOKEN_KEY) !== null;
}

export async function get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  return request<T>(path + query(parameters), { method: "GET" }, signal);
}

/** Calls a Connect method with a JSON body. */
export async function call<T>(method: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return request<T>(method, init, signal);
}

function query(parameters: Parameters): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    for (const item of Array.isArray(value) ? value : [value]) search.append(name, String(item));
  }
  const text = search.toString();
  return text ? `?${text}` : "";
}

async function request<T>(path: string, init: RequestInit, signal?: AbortSignal): Promise<T> {
  const headers = new Headers(init.headers);
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, signal: signal ?? null });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The collector can't be reached.", "Check that heapwatch serve is running at this address.");
  }
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

async function refusal(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const said = (key: string): string | undefined => {
    const value = (body as Record<string, unknown> | null)?.[key];
    return typeof value === "string" && value ? value : undefined;
  };
  const message = said("error") ?? said("message") ?? `The collector answered ${response.status}.`;
  const mend = said("mend") ?? (response.status >= 500 ? "Its log says why." : "");
  return new ApiError(response.status, message, mend);
}
