import { useMemo, useState, type ReactNode } from "react";
import { labelValues, PROFILE_TYPES, stacktraces, type ProfileType } from "../api/profiles";
import { bytes, count, percent } from "../format";
import { Choice } from "../parts/choice";
import { Empty, Panel } from "../parts/panel";
import { Ready } from "../parts/states";
import { useQuery } from "../query";
import { spanOf, type Range } from "../range";
import { useSetQuery } from "../route";
import { Flame } from "./flame";
import { foldImports } from "./fold";
import { functions, matched, unpack, type Frame } from "./graph";

const MOST_NODES = 5000;
const TABLE_ROWS = 25;

interface FlamePanelProps {
  service: string;
  version: string | undefined;
  instance: string | undefined;
  range: Range;
  leaking: ReadonlySet<string>;
  /** Only what this endpoint allocated; "" for all. */
  endpoint: string;
}

export const FLAME = "flame-graph";

export function FlamePanel({ service, version, instance, range, leaking, endpoint }: FlamePanelProps): ReactNode {
  const [typeId, setTypeId] = useState<string>(PROFILE_TYPES[0].id);
  const setQuery = useSetQuery();
  const [search, setSearch] = useState("");
  const [asTable, setAsTable] = useState(false);
  const type = PROFILE_TYPES.find((t) => t.id === typeId) ?? PROFILE_TYPES[0];
  const labels = { service_name: service, service_version: version, instance, endpoint: endpoint || undefined };
  const profile = useQuery(`flame ${JSON.stringify([labels, type.id, range.key])}`, async (signal) => {
    const root = unpack(await stacktraces(type, labels, spanOf(range), MOST_NODES, signal));
    return { type, root, folded: root !== undefined && foldImports(root) };
  });
  const endpoints = useQuery(`endpoints ${service} ${range.key}`, (signal) => labelValues("endpoint", service, spanOf(range), signal));
  const named = [...new Set([...(endpoints.data ?? []), endpoint])].filter(Boolean).sort();
  const tools = (
    <>
      <Choice label="What to show" options={PROFILE_TYPES.map((t) => ({ key: t.id, name: t.name }))} value={typeId} onChange={setTypeId} />
      <label>
        <span className="unseen">Endpoint</span>
        <select value={endpoint} onChange={(event) => setQuery("endpoint", event.target.value || null)}>
          <option value="">All endpoints</option>
          {named.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <input type="search" placeholder="Find a function" aria-label="Find a function" value={search} onChange={(event) => setSearch(event.target.value)} />
    </>
  );
  return (
    <Panel title="Where the memory is allocated" tools={tools} anchor={FLAME}>
      <Ready of={profile} what="the flame graph">
        {({ root, type: shown, folded }) =>
          root ? (
            <>
              <Profile key={shown.id} root={root} type={shown} search={search.trim()} leaking={leaking} asTable={asTable} onTable={setAsTable} />
              {folded && <p className="note">Frames of Python’s import machinery are left out.</p>}
            </>
          ) : (
            <Empty>No profile in this range. The agent sends its first one within a push interval.</Empty>
          )
        }
      </Ready>
    </Panel>
  );
}

const objects = (value: number): string => `${count(value)} objects`;

interface ProfileProps {
  root: Frame;
  type: ProfileType;
  search: string;
  leaking: ReadonlySet<string>;
  asTable: boolean;
  onTable: (open: boolean) => void;
}

function Profile({ root, type, search, leaking, asTable, onTable }: ProfileProps): ReactNode {
  const format = type.unit === "bytes" ? bytes : objects;
  const found = useMemo(() => (search ? matched(root, search) : undefined), [root, search]);
  return (
    <>
      {found !== undefined && (
        <p className="note" role="status">
          “{search}”: {percent(found)} of {format(root.total)}
        </p>
      )}
      <Flame root={root} search={search} leaking={leaking} format={format} />
      <details open={asTable} onToggle={(event) => onTable(event.currentTarget.open)}>
        <summary>The same as a table</summary>
        {asTable && <FunctionTable root={root} format={format} />}
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
