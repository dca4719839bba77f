// Hash routing: #/services/NAME/leaks/SITE?range=1h&version=2.1. The server needs to know nothing of it.

import { useCallback, useSyncExternalStore } from "react";

export type Place =
  | { view: "services" }
  | { view: "service"; service: string }
  | { view: "leak"; service: string; site: string }
  | { view: "nowhere"; path: string };

export interface Route {
  place: Place;
  query: URLSearchParams;
}

export function parse(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
  const query = new URLSearchParams(search);
  const parts = path.split("/").filter(Boolean);
  return { place: placeOf(parts, path), query };
}

function placeOf(parts: string[], path: string): Place {
  const [top, service, kind, site] = parts.map(decoded);
  if (top === undefined || (top === "services" && service === undefined)) return { view: "services" };
  if (top !== "services" || service === undefined || parts.length > 4) return { view: "nowhere", path };
  if (kind === undefined) return { view: "service", service };
  if (kind === "leaks" && site !== undefined) return { view: "leak", service, site };
  return { view: "nowhere", path };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function servicesHref(): string {
  return "#/";
}

export function serviceHref(service: string, query: URLSearchParams): string {
  return withQuery(`#/services/${encodeURIComponent(service)}`, query, ["range", "version"]);
}

export function leakHref(service: string, site: string, version: string, query: URLSearchParams): string {
  const kept = new URLSearchParams(query);
  kept.set("version", version);
  return withQuery(`#/services/${encodeURIComponent(service)}/leaks/${encodeURIComponent(site)}`, kept, ["range", "version"]);
}

function withQuery(path: string, query: URLSearchParams, names: string[]): string {
  const kept = new URLSearchParams();
  for (const name of names) {
    const value = query.get(name);
    if (value) kept.set(name, value);
  }
  const text = kept.toString();
  return text ? `${path}?${text}` : path;
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribe, () => window.location.hash);
  return parse(hash);
}

/** Sets or clears one query parameter of the present place, without a new step in the history. */
export function useSetQuery(): (name: string, value: string | null) => void {
  return useCallback((name, value) => {
    const [path = "#/", search = ""] = (window.location.hash || "#/").split("?", 2);
    const query = new URLSearchParams(search);
    if (value) query.set(name, value);
    else query.delete(name);
    const text = query.toString();
    window.history.replaceState(null, "", text ? `${path}?${text}` : path);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  }, []);
}
