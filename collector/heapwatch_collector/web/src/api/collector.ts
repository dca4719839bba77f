// The collector's own API, one function per document.

import { get } from "./client";
import type { Analysis, Endpoints, Evidence, Instance, Series, Service } from "./documents";

export interface Span {
  start: number;
  end: number;
}

const root = "api/v1";
const at = (service: string): string => `${root}/services/${encodeURIComponent(service)}`;

export async function services(signal: AbortSignal): Promise<Service[]> {
  return (await get<{ services: Service[] }>(`${root}/services`, {}, signal)).services;
}

export async function instances(service: string, span: Span, signal: AbortSignal): Promise<Instance[]> {
  return (await get<{ instances: Instance[] }>(`${at(service)}/instances`, { ...span }, signal)).instances;
}

/** Series of the metrics `names`, one point per `step` seconds (0: as received). */
export async function metrics(
  service: string,
  names: readonly string[],
  span: Span,
  step: number,
  signal: AbortSignal,
): Promise<Series[]> {
  const found = await get<{ series: Series[] }>(`${at(service)}/metrics`, { name: names, ...span, step }, signal);
  return found.series;
}

export async function endpoints(
  service: string,
  version: string | undefined,
  instance: string | undefined,
  span: Span,
  signal: AbortSignal,
): Promise<Endpoints> {
  return get<Endpoints>(`${at(service)}/endpoints`, { version, instance, ...span }, signal);
}

export async function analyses(service: string, signal: AbortSignal): Promise<Analysis[]> {
  return (await get<{ analyses: Analysis[] }>(`${root}/analyses`, { service }, signal)).analyses;
}

export async function leak(
  service: string,
  site: string,
  version: string | undefined,
  signal: AbortSignal,
): Promise<Evidence> {
  const path = `${root}/leaks/${encodeURIComponent(service)}/${encodeURIComponent(site)}`;
  return get<Evidence>(path, { version }, signal);
}
