import { useContext, type ReactNode } from "react";
import { hasToken } from "../api/client";
import { metrics, services, type Span } from "../api/collector";
import type { Service } from "../api/documents";
import { RSS } from "../charts/timeline";
import { Sparkline } from "../charts/sparkline";
import { bytes } from "../format";
import { Ready } from "../parts/states";
import { StatusTag } from "../parts/status";
import { Ago } from "../parts/time";
import { Refresh, useQuery } from "../query";
import { spanOf, type Range } from "../range";
import { serviceHref, type Route } from "../route";

const SPARK_POINTS = 40;
const SPARK_REFRESH = 60;
const URGENCY = ["leak", "learning", "unknown", "no leak"];

export function ServicesView({ route, range }: { route: Route; range: Range }): ReactNode {
  const found = useQuery("services", services);
  return (
    <main>
      <h1>Services</h1>
      <Ready of={found} what="services">
        {(list) => (list.length ? <Table services={list} range={range} route={route} /> : <HowToAttach />)}
      </Ready>
    </main>
  );
}

function Table({ services, range, route }: { services: Service[]; range: Range; route: Route }): ReactNode {
  const refresh = useContext(Refresh);
  const sorted = [...services].sort(
    (a, b) => URGENCY.indexOf(a.status) - URGENCY.indexOf(b.status) || (b.rss_bytes ?? 0) - (a.rss_bytes ?? 0),
  );
  return (
    <div className="scroll">
      <table className="services">
        <thead>
          <tr>
            <th scope="col">Service</th>
            <th scope="col">Status</th>
            <th scope="col" className="number">Leaks</th>
            <th scope="col" className="number wide">Instances</th>
            <th scope="col" className="number">RSS now</th>
            <th scope="col" className="wide">Last {range.name}</th>
            <th scope="col" className="number wide">Last seen</th>
          </tr>
        </thead>
        <tbody>
          {sorted.map((service) => (
            <tr key={service.name}>
              <th scope="row">
                <a href={serviceHref(service.name, route.query)}>{service.name}</a>
                <span className="muted version"> {service.versions.filter(Boolean).join(", ")}</span>
              </th>
              <td>
                <StatusTag status={service.status} />
              </td>
              <td className="number">{service.leaks || "–"}</td>
              <td className="number wide">
                {service.instances}
                {service.parents > 0 && <span className="muted"> + {service.parents} parent{service.parents > 1 && "s"}</span>}
              </td>
              <td className="number">{bytes(service.rss_bytes)}</td>
              <td className="wide">
                <Refresh value={refresh === null ? null : Math.max(refresh, SPARK_REFRESH)}>
                  <RssLine service={service.name} range={range} />
                </Refresh>
              </td>
              <td className="number wide">
                <Ago time={service.last_seen} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** RSS of all instances together, one value per `step`; an instance counts until it is seen no more. */
async function rssLine(service: string, span: Span, step: number, signal: AbortSignal): Promise<[number, number][]> {
  const sums = new Map<number, number>();
  for (const one of await metrics(service, [RSS], span, step, signal)) {
    const slots = new Map(one.points.map(([time = 0, value = 0]) => [Math.floor(time / step) * step, value]));
    for (const [slot, value] of slots) sums.set(slot, (sums.get(slot) ?? 0) + value);
  }
  return [...sums].sort((a, b) => a[0] - b[0]);
}

function RssLine({ service, range }: { service: string; range: Range }): ReactNode {
  const step = range.seconds / SPARK_POINTS;
  const line = useQuery(`rss ${service} ${range.key}`, (signal) => rssLine(service, spanOf(range), step, signal));
  return line.data ? <Sparkline points={line.data} label={`RSS of ${service} over ${range.name}`} /> : null;
}

function HowToAttach(): ReactNode {
  const token = hasToken() ? " HEAPWATCH_TOKEN=…" : "";
  const settings = `HEAPWATCH_COLLECTOR=${window.location.origin}${token} HEAPWATCH_SERVICE=shop`;
  return (
    <div className="panel attach">
      <p>No service has sent anything yet. Attach one in three lines:</p>
      <pre>
        <code>{`pip install heapwatch\nexport ${settings}\nheapwatch run -- gunicorn yourapp:app`}</code>
      </pre>
      <p className="note">It appears here within seconds of its first delivery. No code of yours changes.</p>
    </div>
  );
}
