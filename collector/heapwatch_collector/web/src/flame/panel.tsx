import { useMemo, useState, type ReactNode } from "react";
import { labelValues, PROFILE_TYPES, stacktraces, type ProfileType } from "../api/profiles";
import { bytes, count, percent } from "../format";
import { Choice } from "../parts/choice";
import { Empty, Panel } from "../parts/panel";
import { Ready } from "../parts/states";
import { useQuery } from "../query";
import { spanOf, type Range } from "../range";
import { Flame } from "./flame";
import { functions, matched, unpack, type Frame } from "./graph";

const MOST_NODES = 5000;
const TABLE_ROWS = 25;

interface FlamePanelProps {
  service: string;
  version: string | undefined;
  range: Range;
  leaking: ReadonlySet<string>;
}

export function FlamePanel({ service, version, range, leaking }: FlamePanelProps): ReactNode {
  const [typeId, setTypeId] = useState<string>(PROFILE_TYPES[0].id);
  const [endpoint, setEndpoint] = useState("");
  const [search, setSearch] = useState("");
  const type = PROFILE_TYPES.find((t) => t.id === typeId) ?? PROFILE_TYPES[0];
  const labels = { service_name: service, service_version: version, endpoint: endpoint || undefined };
  const packed = useQuery(`flame ${JSON.stringify([labels, type.id, range.key])}`, (signal) =>
    stacktraces(type, labels, spanOf(range), MOST_NODES, signal),
  );
  const endpoints = useQuery(`endpoints ${service} ${range.key}`, (signal) => labelValues("endpoint", service, spanOf(range), signal));
  const tools = (
    <>
      <Choice label="What to show" options={PROFILE_TYPES.map((t) => ({ key: t.id, name: t.name }))} value={typeId} onChange={setTypeId} />
      <label>
        <span className="unseen">Endpoint</span>
        <select value={endpoint} onChange={(event) => setEndpoint(event.target.value)}>
          <option value="">All endpoints</option>
          {(endpoints.data ?? []).filter(Boolean).map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <input type="search" placeholder="Find a function" aria-label="Find a function" value={search} onChange={(event) => setSearch(event.target.value)} />
    </>
  );
  return (
    <Panel title="Where the memory is allocated" tools={tools}>
      <Ready of={packed} what="the flame graph">
        {(graph) => <FlameOrNothing key={typeId} root={unpack(graph)} type={type} search={search.trim()} leaking={leaking} />}
      </Ready>
    </Panel>
  );
}

interface FlameOrNothingProps {
  root: Frame | undefined;
  type: ProfileType;
  search: string;
  leaking: ReadonlySet<string>;
}

function FlameOrNothing({ root, type, search, leaking }: FlameOrNothingProps): ReactNode {
  const format = type.unit === "bytes" ? bytes : count;
  const found = useMemo(() => (root && search ? matched(root, search) : undefined), [root, search]);
  if (!root) return <Empty>No profile in this range. The agent sends its first one within a push interval.</Empty>;
  return (
    <>
      {found !== undefined && (
        <p className="note" role="status">
          “{search}”: {percent(found)} of {format(root.total)}
        </p>
      )}
      <Flame root={root} search={search} leaking={leaking} format={format} />
      <details>
        <summary>The same as a table</summary>
        <FunctionTable root={root} format={format} />
      </details>
    </>
  );
}

function FunctionTable({ root, format }: { root: Frame; format: (value: number) => string }): ReactNode {
  const rows = useMemo(() => functions(root).slice(0, TABLE_ROWS), [root]);
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Function</th>
            <th scope="col" className="number">Itself</th>
            <th scope="col" className="number">With what it calls</th>
            <th scope="col" className="number">Share</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name}>
              <td>
                <code>{row.name}</code>
              </td>
              <td className="number">{format(row.self)}</td>
              <td className="number">{format(row.total)}</td>
              <td className="number">{percent(row.total / root.total)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
