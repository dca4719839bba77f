import { useState, type ReactNode } from "react";
import { leak } from "../api/collector";
import type { Call, Evidence, Site } from "../api/documents";
import { GrowthChart } from "../charts/growth";
import { figures, type Figure } from "../evidence/figures";
import { HolderTree } from "../evidence/holdertree";
import { ObjectGraph } from "../evidence/objectgraph";
import { isOutside, Parts } from "../evidence/parts";
import { asText } from "../evidence/text";
import { byteRate, byteRateInterval, bytes, count, objectRate, percent } from "../format";
import { CopyButton } from "../parts/copy";
import { ForecastText } from "../parts/forecast";
import { Empty, Panel } from "../parts/panel";
import { ShareBars } from "../parts/sharebar";
import { placeText, Source } from "../parts/source";
import { Ready } from "../parts/states";
import { StatusTag } from "../parts/status";
import { Ago, Clock } from "../parts/time";
import { useQuery } from "../query";
import type { Route } from "../route";
import { RecommendationItem } from "./advice";

export function LeakView({ service, site, route }: { service: string; site: string; route: Route }): ReactNode {
  const version = route.query.get("version") ?? undefined;
  const found = useQuery(`leak ${service} ${site} ${version ?? ""}`, (signal) => leak(service, site, version, signal));
  return (
    <main>
      <Ready of={found} what="the evidence">
        {(evidence) => <Document evidence={evidence} />}
      </Ready>
    </main>
  );
}

function Document({ evidence }: { evidence: Evidence }): ReactNode {
  const { site, recommendation } = evidence;
  return (
    <>
      <div className="view-head">
        <h1>
          <code>{site.function}</code>
        </h1>
        <StatusTag status={evidence.verdict} />
        <div className="tools">
          <CopyButton name="Copy as text" text={() => asText(evidence)} />
          <CopyButton name="Copy as JSON" text={() => JSON.stringify(evidence, null, 2)} />
        </div>
      </div>
      <p className="place-line">
        {isOutside(evidence) ? "The process takes memory that no sampled line of Python asks for." : <code>{placeText(site)}</code>}
      </p>
      <Summary evidence={evidence} />
      {recommendation && (
        <Panel title="What to change">
          <ul className="plain advice">
            <RecommendationItem one={recommendation} />
          </ul>
        </Panel>
      )}
      <Panel title={isOutside(evidence) ? "Memory in use that Python hasn’t asked for" : "Live bytes of this site"}>
        {evidence.series.length > 1 ? <GrowthChart evidence={evidence} /> : <Empty>Too few points for a chart.</Empty>}
      </Panel>
      {isOutside(evidence) ? <Parts evidence={evidence} /> : <Objects evidence={evidence} />}
      <Panel title="Why we believe it">
        <Why evidence={evidence} />
      </Panel>
      <Links links={evidence.links} />
    </>
  );
}

/** What is known of a line's objects: their holders, the endpoints that make them, the stack. */
function Objects({ evidence }: { evidence: Evidence }): ReactNode {
  return (
    <>
      <Panel title="What holds the objects" note="from the root down; share of the examined samples">
        {evidence.holders.length ? <HolderTree holders={evidence.holders} /> : <Empty>No holder was found yet; the agent looks again while the site grows.</Empty>}
      </Panel>
      {evidence.holders.length > 0 && (
        <Panel title="How the types hang together" note="fields lead from the holder to the objects; bytes by share of the samples">
          <ObjectGraph evidence={evidence} />
        </Panel>
      )}
      <div className="columns">
        <Panel title="Endpoints that make them">
          {evidence.endpoints.length ? <ShareBars shares={evidence.endpoints} /> : <Empty>Not allocated in requests, or requests aren't labelled.</Empty>}
        </Panel>
        <Panel title="Stack" note="innermost first">
          <Stack evidence={evidence} />
        </Panel>
      </div>
    </>
  );
}

function Summary({ evidence }: { evidence: Evidence }): ReactNode {
  const { growth, forecast, site } = evidence;
  return (
    <dl className="summary">
      <div>
        <dt>Growth</dt>
        <dd>
          <strong>{byteRate(growth.bytes_per_second)}</strong>
          <span>
            {byteRateInterval(growth.low, growth.high, growth.bytes_per_second)} with {percent(growth.confidence)} confidence
            {!isOutside(evidence) && <>; {objectRate(growth.objects_per_second)}</>}
          </span>
        </dd>
      </div>
      <div>
        <dt>Live now</dt>
        <dd>
          <strong>{bytes(evidence.live_bytes)}</strong>
          <span>
            {isOutside(evidence) ? (
              "of C code, or mapped by it"
            ) : (
              <>
                {count(evidence.live_objects)} objects of <code>{evidence.type || "unknown type"}</code>
              </>
            )}
          </span>
        </dd>
      </div>
      <div>
        <dt>Forecast</dt>
        <dd>
          {forecast ? (
            <>
              <strong>{forecast.seconds > 0 ? <Clock time={evidence.time + forecast.seconds} /> : "now"}</strong>
              <span>
                the instance <ForecastText forecast={forecast} from={evidence.time} />
              </span>
            </>
          ) : (
            <>
              <strong>–</strong>
              <span>no memory limit is known</span>
            </>
          )}
        </dd>
      </div>
      <div>
        <dt>Seen in</dt>
        <dd>
          <strong>
            {evidence.growing} of {evidence.instances}
          </strong>
          <span>
            instances{evidence.version && ` of version ${evidence.version}`}; judged <Ago time={evidence.time} />
          </span>
        </dd>
      </div>
      {site.caller && !sameCall(site.caller, site) && (
        <div>
          <dt>Called from your code</dt>
          <dd>
            <strong>
              <code>{site.caller.function}</code>
            </strong>
            <span>
              <code>{placeText(site.caller)}</code>
            </span>
          </dd>
        </div>
      )}
    </dl>
  );
}

const sameCall = (a: Call, b: Call | null): boolean => b !== null && a.file === b.file && a.line === b.line && a.function === b.function;

const STACK_ROWS = 12;

function Stack({ evidence }: { evidence: Evidence }): ReactNode {
  const { stack } = evidence.site;
  const [all, setAll] = useState(false);
  if (stack.length === 0) return <Empty>Not recorded.</Empty>;
  const shown = all ? stack : stack.slice(0, STACK_ROWS);
  return (
    <>
      <ol className="stack">
        {shown.map((call, i) => (
          <StackRow key={i} call={call} site={evidence.site} />
        ))}
      </ol>
      {shown.length < stack.length && (
        <button type="button" onClick={() => setAll(true)}>
          Show {stack.length - shown.length} more
        </button>
      )}
    </>
  );
}

function StackRow({ call, site }: { call: Call; site: Site }): ReactNode {
  const allocates = sameCall(call, site);
  const own = !allocates && sameCall(call, site.caller);
  return (
    <li className={allocates ? "stack-site" : ""}>
      <Source call={call} />
      {allocates && <span className="tag">allocates</span>}
      {own && <span className="tag">your code</span>}
    </li>
  );
}

function Why({ evidence }: { evidence: Evidence }): ReactNode {
  const rows = figures(evidence.statistics, evidence.thresholds);
  return (
    <>
      <ul className="reasons">
        {evidence.reasons.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
      {rows.length > 0 && (
        <div className="scroll">
          <table className="figures">
            <thead>
              <tr>
                <th scope="col">Figure</th>
                <th scope="col" className="number">Measured</th>
                <th scope="col" className="number">Needed</th>
                <th scope="col" className="number">Met</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <FigureRow key={row.name} row={row} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function FigureRow({ row }: { row: Figure }): ReactNode {
  return (
    <tr>
      <th scope="row">
        {row.name} <span className="muted wide">{row.meaning}</span>
      </th>
      <td className="number">{row.value === undefined ? "–" : row.text(row.value)}</td>
      <td className="number">{row.threshold === undefined || row.needs === "" ? "–" : `${row.needs} ${row.text(row.threshold)}`}</td>
      <td className="number">{row.met === undefined ? "" : row.met ? "✓ yes" : "✗ no"}</td>
    </tr>
  );
}

function Links({ links }: { links: Record<string, string> }): ReactNode {
  // Links come with the document: only web addresses are followed.
  const safe = Object.entries(links).filter(([, address]) => /^(https?:\/\/|\/|#)/.test(address));
  if (safe.length === 0) return null;
  return (
    <ul className="links" aria-label="Links">
      {safe.map(([name, address]) => (
        <li key={name}>
          <a href={address} rel="noreferrer">
            {name}
          </a>
        </li>
      ))}
    </ul>
  );
}
