import { useMemo, useState, type ReactNode } from "react";
import { metrics, type Span } from "../api/collector";
import type { Series } from "../api/documents";
import { Sparkline } from "../charts/sparkline";
import { bytes, count } from "../format";
import { LongTable } from "../parts/longtable";
import { Empty, Panel } from "../parts/panel";
import { Sortable, type Order } from "../parts/sortable";
import { Ready } from "../parts/states";
import { useQuery } from "../query";
import { spanOf, type Range } from "../range";

const MEMORY = "heapwatch.type.memory";
const OBJECTS = "heapwatch.type.objects";
const POINTS = 40;
const ROWS = 10;
/** Seconds before the newest report in which an instance is taken for alive. */
const ALIVE = 90;

interface CensusPanelProps {
  service: string;
  version: string | undefined;
  instance: string | undefined;
  range: Range;
}

/** A type over the instances that live; growth is since each was first counted in the range. */
interface TypeRow {
  name: string;
  bytes: number;
  objects: number;
  growth: number;
  moreObjects: number;
  points: [number, number][];
}

const COLUMNS = [
  { key: "bytes", name: "Bytes", title: "Estimated bytes of the objects themselves" },
  { key: "objects", name: "Objects", title: "Objects that the garbage collector tracks, by estimate" },
  { key: "growth", name: "Growth", title: "Bytes more than when it was first counted in this range" },
  { key: "moreObjects", name: "More objects", title: "Objects more than when it was first counted in this range" },
] as const;

/** Objects by type, and what they grow by: the census that agents take now and then. */
export function CensusPanel({ service, version, instance, range }: CensusPanelProps): ReactNode {
  const found = useQuery(`census ${JSON.stringify([service, version, instance, range.key])}`, async (signal) => {
    const span: Span = spanOf(range);
    const step = Math.max(20, range.seconds / POINTS);
    const all = await metrics(service, [MEMORY, OBJECTS], span, step, signal);
    const ours = all.filter((s) => (version === undefined || s.version === version) && (instance === undefined || s.instance === instance));
    return rowsOf(ours, step);
  });
  return (
    <Panel title="Objects by type" note="what the garbage collector tracks, of the largest types">
      <Ready of={found} what="types">
        {(rows) => (rows.length ? <Table rows={rows} /> : <Empty>Not counted yet; agents count once a minute, when it is cheap.</Empty>)}
      </Ready>
    </Panel>
  );
}

function rowsOf(series: Series[], step: number): TypeRow[] {
  const newest = Math.max(...series.map((s) => s.points.at(-1)?.[0] ?? 0));
  const alive = series.filter((s) => (s.points.at(-1)?.[0] ?? 0) >= newest - Math.max(ALIVE, 2 * step));
  const rows = new Map<string, TypeRow>();
  const courses = new Map<string, number[][][]>();
  for (const one of alive) {
    const name = String(one.attributes["heapwatch.type"] ?? "");
    const row = rows.get(name) ?? { name, bytes: 0, objects: 0, growth: 0, moreObjects: 0, points: [] };
    const last = one.points.at(-1)?.[1] ?? 0;
    const more = last - (one.points[0]?.[1] ?? 0);
    if (one.name === MEMORY) {
      row.bytes += last;
      row.growth += more;
      courses.set(name, [...(courses.get(name) ?? []), one.points]);
    } else {
      row.objects += last;
      row.moreObjects += more;
    }
    rows.set(name, row);
  }
  return [...rows.values()].map((row) => ({ ...row, points: added(courses.get(row.name) ?? []) }));
}

/** The lines added up; one that pauses keeps its last value meanwhile. */
function added(lines: number[][][]): [number, number][] {
  const times = [...new Set(lines.flatMap((line) => line.map(([time = 0]) => time)))].sort((a, b) => a - b);
  const sums = times.map((time): [number, number] => [time, 0]);
  for (const line of lines) {
    let next = 0;
    let value = 0;
    for (const sum of sums) {
      while (next < line.length && (line[next]?.[0] ?? 0) <= sum[0]) value = line[next++]?.[1] ?? 0;
      sum[1] += value;
    }
  }
  return sums;
}

const signed = (value: number, text: (size: number) => string): string => (value === 0 ? "0" : `${value > 0 ? "+" : "−"}${text(Math.abs(value))}`);

function Table({ rows }: { rows: TypeRow[] }): ReactNode {
  const [order, setOrder] = useState<Order>({ key: "growth", rising: false });
  const sorted = useMemo(() => {
    const column = COLUMNS.find((c) => c.key === order.key);
    const compare = (a: TypeRow, b: TypeRow): number => (column ? a[column.key] - b[column.key] : -a.name.localeCompare(b.name));
    return [...rows].sort((a, b) => (order.rising ? 1 : -1) * compare(a, b) || b.bytes - a.bytes);
  }, [rows, order]);
  return (
    <LongTable
      className="census"
      head={
        <>
          <Sortable name="Type" column="name" order={order} onOrder={setOrder} />
          <th scope="col" className="wide">Course</th>
          {COLUMNS.map(({ key, name, title }) => (
            <Sortable key={key} name={name} title={title} column={key} order={order} onOrder={setOrder} className={key === "moreObjects" ? "number wide" : "number"} />
          ))}
        </>
      }
      rows={sorted}
      first={ROWS}
      row={(row) => (
        <tr key={row.name}>
          <th scope="row">
            <code>{row.name}</code>
          </th>
          <td className="wide">
            <Sparkline points={row.points} label={`Bytes of ${row.name} over time`} />
          </td>
          <td className="number">{bytes(row.bytes)}</td>
          <td className="number">{count(row.objects)}</td>
          <td className="number">{signed(row.growth, bytes)}</td>
          <td className="number wide">{signed(row.moreObjects, count)}</td>
        </tr>
      )}
    />
  );
}
