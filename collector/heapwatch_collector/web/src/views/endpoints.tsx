import { useState, type ReactNode } from "react";
import { endpoints } from "../api/collector";
import type { Endpoint, Endpoints } from "../api/documents";
import { Sparkline } from "../charts/sparkline";
import { FLAME } from "../flame/panel";
import { bytes, count, duration, percent } from "../format";
import { LongTable } from "../parts/longtable";
import { Empty, Panel } from "../parts/panel";
import { Sortable, type Order } from "../parts/sortable";
import { Ready } from "../parts/states";
import { useQuery } from "../query";
import { spanOf, type Range } from "../range";
import { useSetQuery } from "../route";

interface EndpointsPanelProps {
  service: string;
  version: string | undefined;
  instance: string | undefined;
  range: Range;
  /** The endpoint that the flame graph shows, or "". */
  chosen: string;
}

interface Column {
  key: string;
  name: string;
  meaning: string;
  value: (endpoint: Endpoint) => number | null;
  text: (value: number) => string;
  wide?: boolean;
}

const rate = (value: number): string => (value >= 0.01 || value === 0 ? count(value) : "< 0.01");

function columnsOf(seconds: number): Column[] {
  return [
    { key: "requests", name: "Requests/s", meaning: "Requests, tasks or jobs a second", value: (e) => (seconds ? e.requests / seconds : 0), text: rate },
    { key: "errors", name: "Errors", meaning: "Share that was answered with 5xx, or failed", value: (e) => (e.requests ? e.errors / e.requests : 0), text: (v) => (v ? percent(v) : "0"), wide: true },
    { key: "p50", name: "p50", meaning: "Half of the requests took at most this long", value: (e) => e.p50, text: duration, wide: true },
    { key: "p99", name: "p99", meaning: "99 of 100 requests took at most this long", value: (e) => e.p99, text: duration, wide: true },
    { key: "allocated", name: "Allocated", meaning: "Bytes that a request allocated, on average", value: (e) => e.allocated, text: bytes },
    { key: "retained", name: "Retained", meaning: "Bytes of those that lived when the request ended", value: (e) => e.retained, text: bytes, wide: true },
    { key: "peak", name: "Peak", meaning: "Bytes of those that lived at once, on average", value: (e) => e.peak, text: bytes, wide: true },
    { key: "gc", name: "GC", meaning: "How long garbage collections stopped a request, on average", value: (e) => e.gc, text: duration, wide: true },
    { key: "cpu", name: "CPU", meaning: "CPU time of a request, on average", value: (e) => e.cpu, text: duration, wide: true },
    { key: "statements", name: "Statements", meaning: "Statements that a request sent to databases, on average", value: (e) => e.statements, text: count, wide: true },
    { key: "live", name: "Live now", meaning: "Bytes that live now and that its requests allocated", value: (e) => e.live, text: bytes },
  ];
}

const ROWS = 12;

/** What requests take, by endpoint; a name leads to the flame graph of what it allocated. */
export function EndpointsPanel({ service, version, instance, range, chosen }: EndpointsPanelProps): ReactNode {
  const found = useQuery(`by endpoint ${JSON.stringify([service, version, instance, range.key])}`, (signal) =>
    endpoints(service, version, instance, spanOf(range), signal),
  );
  return (
    <Panel title="Endpoints" note="averages of one request; bytes are estimates">
      <Ready of={found} what="endpoints">
        {(answer) => (answer.endpoints.length ? <Table answer={answer} chosen={chosen} /> : <Empty>No requests were measured in this range.</Empty>)}
      </Ready>
    </Panel>
  );
}

function Table({ answer, chosen }: { answer: Endpoints; chosen: string }): ReactNode {
  const [order, setOrder] = useState<Order>({ key: "live", rising: false });
  const columns = columnsOf(answer.seconds);
  const live = answer.endpoints.reduce((sum, endpoint) => sum + endpoint.live, 0);
  return (
    <LongTable
      className="endpoints"
      head={
        <>
          <Sortable name="Endpoint" column="name" order={order} onOrder={setOrder} />
          <th scope="col" className="wide">Course</th>
          {columns.map(({ key, name, meaning, wide }) => (
            <Sortable key={key} name={name} title={meaning} column={key} order={order} onOrder={setOrder} className={wide ? "number wide" : "number"} />
          ))}
        </>
      }
      rows={inOrder(answer.endpoints, columns, order)}
      first={ROWS}
      row={(endpoint) => <Row key={endpoint.name} endpoint={endpoint} columns={columns} live={live} chosen={endpoint.name === chosen} />}
    />
  );
}

function inOrder(list: Endpoint[], columns: Column[], { key, rising }: Order): Endpoint[] {
  const column = columns.find((c) => c.key === key);
  const compare = (a: Endpoint, b: Endpoint): number =>
    column ? (column.value(a) ?? -1) - (column.value(b) ?? -1) : -a.name.localeCompare(b.name);
  return [...list].sort((a, b) => (rising ? 1 : -1) * compare(a, b) || b.requests - a.requests);
}

interface RowProps {
  endpoint: Endpoint;
  columns: Column[];
  /** Bytes that live now of all endpoints. */
  live: number;
  chosen: boolean;
}

function Row({ endpoint, columns, live, chosen }: RowProps): ReactNode {
  const setQuery = useSetQuery();
  const show = (): void => {
    setQuery("endpoint", chosen ? null : endpoint.name);
    if (!chosen) document.getElementById(FLAME)?.scrollIntoView({ block: "start", behavior: "smooth" });
  };
  const what = chosen ? "Show the flame graph of all endpoints" : `Show what ${endpoint.name} allocated in the flame graph`;
  return (
    <tr>
      <th scope="row">
        <button type="button" className="link" aria-pressed={chosen} title={what} onClick={show}>
          {endpoint.name}
        </button>{" "}
        <Repeats endpoint={endpoint} />
      </th>
      <td className="wide">
        <Sparkline points={courseOf(endpoint)} label={`Requests of ${endpoint.name} over time`} />
      </td>
      {columns.map((column) => {
        const value = column.value(endpoint);
        return (
          <td key={column.key} className={column.wide ? "number wide" : "number"}>
            {value === null ? "–" : column.text(value)}
            {column.key === "live" && live > 0 && <span className="muted wide"> {percent(endpoint.live / live)}</span>}
          </td>
        );
      })}
    </tr>
  );
}

/** Requests per step; the last step isn't over. */
function courseOf(endpoint: Endpoint): (readonly [number, number])[] {
  return endpoint.points.slice(0, -1).map(([time, requests]) => [time, requests] as const);
}

/** Marks an endpoint whose requests repeat a statement (N+1). */
function Repeats({ endpoint }: { endpoint: Endpoint }): ReactNode {
  if (!endpoint.repeated || !endpoint.statements) return null;
  const most = `${count(endpoint.repeated)} of ${count(endpoint.statements)} statements of a request repeat one that it sent before`;
  return (
    <span className="tag tag-warn" title={`${most}. heapwatch requests PID names them.`}>
      N+1
    </span>
  );
}
