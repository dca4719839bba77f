import type { ReactNode } from "react";
import type { Analysis, Instance } from "../api/documents";
import { byteRate, bytes, percent } from "../format";
import { ForecastTimes } from "../parts/forecast";
import { LongTable } from "../parts/longtable";
import { Empty, Panel } from "../parts/panel";
import { Ago } from "../parts/time";
import { useSetQuery } from "../route";

interface InstanceTableProps {
  instances: Instance[];
  names: Map<string, string>;
  analyses: Analysis[];
  /** The instance that alone is shown, if any. */
  chosen: string | undefined;
  /** What the defence of an instance does, where it does something. */
  states: Map<string, string>;
}

const ROWS = 20;
const HEAD = (
  <>
    <th scope="col">Instance</th>
    <th scope="col" className="number">RSS</th>
    <th scope="col" className="number wide">Live heap</th>
    <th scope="col" className="number wide">Limit</th>
    <th scope="col" className="number">Growth</th>
    <th scope="col" className="wide">Meets its limit</th>
    <th scope="col" className="wide">Version</th>
    <th scope="col" className="wide">Runtime</th>
    <th scope="col" className="number">Last seen</th>
  </>
);
/** Seconds before the newest report in which an instance is taken for alive. */
const ALIVE = 60;

export function InstanceTable({ instances, names, analyses, chosen, states }: InstanceTableProps): ReactNode {
  const isParent = (instance: Instance): number => Number(instance.role === "parent");
  const newest = Math.max(...instances.map((i) => i.last_seen));
  const hasEnded = (instance: Instance): number => Number(instance.last_seen < newest - ALIVE);
  const sorted = [...instances].sort(
    (a, b) => hasEnded(a) - hasEnded(b) || isParent(a) - isParent(b) || Number(a.pid) - Number(b.pid),
  );
  const parents = instances.filter(isParent).length;
  const seen = `${instances.length - parents} seen in this range`;
  return (
    <Panel title="Instances" note={parents ? `${seen}, and ${parents} that only forked them` : seen}>
      {sorted.length === 0 && <Empty>None.</Empty>}
      {sorted.length > 0 && (
        <LongTable
          head={HEAD}
          rows={sorted}
          first={ROWS}
          row={(instance) => (
            <Row key={instance.id} instance={instance} name={names.get(instance.id) ?? instance.id} analyses={analyses} chosen={instance.id === chosen} state={states.get(instance.id)} />
          )}
        />
      )}
    </Panel>
  );
}

interface RowProps {
  instance: Instance;
  name: string;
  analyses: Analysis[];
  chosen: boolean;
  state: string | undefined;
}

function Row({ instance, name, analyses, chosen, state }: RowProps): ReactNode {
  const setQuery = useSetQuery();
  const analysis = analyses.find((a) => a.forecasts.some((f) => f.instance === instance.id));
  const forecast = analysis?.forecasts.find((f) => f.instance === instance.id);
  const used = instance.limit_bytes && instance.rss_bytes !== null ? instance.rss_bytes / instance.limit_bytes : undefined;
  return (
    <tr>
      <th scope="row" title={instance.id}>
        <button
          type="button"
          className="link number"
          aria-pressed={chosen}
          title={chosen ? "Show all instances" : "Show only this instance"}
          onClick={() => setQuery("instance", chosen ? null : instance.id)}
        >
          {name}
        </button>{" "}
        <span className="muted">{instance.host}</span>{" "}
        {state && (
          <span className="tag tag-warn" title="What its memory defence does">
            {state}
          </span>
        )}{" "}
        {instance.role === "parent" && (
          <span className="tag" title="Serves nothing itself; the instances are its children">
            parent
          </span>
        )}
      </th>
      <td className="number">{bytes(instance.rss_bytes)}</td>
      <td className="number wide">{bytes(instance.live_bytes)}</td>
      <td className="number wide">
        {bytes(instance.limit_bytes)}
        {used !== undefined && <span className="muted"> {percent(used)}</span>}
      </td>
      <td className="number">{forecast ? byteRate(forecast.bytes_per_second) : "–"}</td>
      <td className="wide">
        {forecast?.forecast && analysis ? <ForecastTimes forecast={forecast.forecast} from={analysis.time} /> : "–"}
      </td>
      <td className="wide">{instance.version || "–"}</td>
      <td className="wide muted">{instance.runtime}</td>
      <td className="number">
        <Ago time={instance.last_seen} />
      </td>
    </tr>
  );
}
