import type { ReactNode } from "react";
import type { Evidence } from "../api/documents";
import { byteRate, byteRateInterval, bytes, count } from "../format";
import { ForecastTimes } from "../parts/forecast";
import { Panel } from "../parts/panel";
import { Source } from "../parts/source";
import { StatusTag } from "../parts/status";
import { leakHref, type Route } from "../route";

/** The sites that grow, each a link to its evidence. */
export function LeakTable({ verdicts, route }: { verdicts: Evidence[]; route: Route }): ReactNode {
  const versions = new Set(verdicts.map((v) => v.version));
  return (
    <Panel title="What grows">
      <div className="scroll">
        <table className="leaks">
          <thead>
            <tr>
              <th scope="col">Allocated by</th>
              <th scope="col" className="wide">Verdict</th>
              <th scope="col" className="wide">Type</th>
              <th scope="col" className="number">Growth</th>
              <th scope="col" className="number">Live now</th>
              <th scope="col" className="wide">Held by</th>
              <th scope="col" className="wide">Meets its limit</th>
            </tr>
          </thead>
          <tbody>
            {verdicts.map((verdict) => (
              <Row key={`${verdict.version} ${verdict.site.id}`} verdict={verdict} named={versions.size > 1} route={route} />
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Row({ verdict, named, route }: { verdict: Evidence; named: boolean; route: Route }): ReactNode {
  const { growth } = verdict;
  const holder = [...verdict.holders].sort((a, b) => b.share - a.share)[0];
  return (
    <tr>
      <th scope="row">
        <a href={leakHref(verdict.service, verdict.site.id, verdict.version, route.query)}>
          <Source call={verdict.site} />
        </a>
        {named && <span className="muted"> {verdict.version}</span>}
      </th>
      <td className="wide">
        <StatusTag status={verdict.verdict} />
      </td>
      <td className="wide">
        <code>{verdict.type || "–"}</code>
      </td>
      <td className="number" title={`${byteRateInterval(growth.low, growth.high, growth.bytes_per_second)}`}>
        {byteRate(growth.bytes_per_second)}
      </td>
      <td className="number" title={`${count(verdict.live_objects)} objects`}>
        {bytes(verdict.live_bytes)}
      </td>
      <td className="wide">{holder ? <code className="holder">{holder.path}</code> : "–"}</td>
      <td className="wide">{verdict.forecast ? <ForecastTimes forecast={verdict.forecast} from={verdict.time} /> : "–"}</td>
    </tr>
  );
}
