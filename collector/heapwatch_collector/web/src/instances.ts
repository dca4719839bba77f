// Short names of instances: the process, and the host where there are several.

import type { Instance } from "./api/documents";

export function instanceNames(instances: Instance[]): Map<string, string> {
  const hosts = new Set(instances.map((i) => i.host));
  const short = (i: Instance): string => (i.pid === null ? i.id : hosts.size > 1 ? `${i.host} ${i.pid}` : `pid ${i.pid}`);
  const uses = new Map<string, number>();
  for (const i of instances) uses.set(short(i), (uses.get(short(i)) ?? 0) + 1);
  // A process id can come again after a restart: then only the whole id tells them apart.
  return new Map(instances.map((i) => [i.id, uses.get(short(i)) === 1 ? short(i) : i.id]));
}
