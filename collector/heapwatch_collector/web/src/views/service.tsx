import { useMemo, type ReactNode } from "react";
import { analyses, instances, metrics } from "../api/collector";
import type { Analysis, Instance, Series } from "../api/documents";
import { ACTIONS, actionMarks, DEFENCE, defenceStates } from "../charts/actions";
import { PAUSE, Pauses } from "../charts/pauses";
import { LIVE, RSS, Timeline, type Mark } from "../charts/timeline";
import { FlamePanel } from "../flame/panel";
import { instanceNames } from "../instances";
import { Choice } from "../parts/choice";
import { ForecastText } from "../parts/forecast";
import { Empty, Panel } from "../parts/panel";
import { Ready } from "../parts/states";
import { StatusTag } from "../parts/status";
import { Ago, useNow } from "../parts/time";
import { useQuery } from "../query";
import { spanOf, stepOf, type Range } from "../range";
import { useSetQuery, type Route } from "../route";
import { firstForecast, headline, statusOf, verdictsOf } from "../verdict";
import { Advice } from "./advice";
import { CensusPanel } from "./census";
import { EndpointsPanel } from "./endpoints";
import { InstanceTable } from "./instances";
import { LeakTable } from "./leaks";

interface Seen {
  instances: Instance[];
  series: Series[];
  span: { start: number; end: number };
}

async function look(service: string, range: Range, signal: AbortSignal): Promise<Seen> {
  const span = spanOf(range);
  const [found, series] = await Promise.all([
    instances(service, span, signal),
    metrics(service, [RSS, LIVE, PAUSE, DEFENCE, ...ACTIONS], span, stepOf(range), signal),
  ]);
  return { instances: found, series, span };
}

/** Of one version or instance, or all. */
function only(seen: Seen, version: string | undefined, instance: string | undefined): Seen {
  const wanted = (of: { version: string }, id: string): boolean =>
    (version === undefined || of.version === version) && (instance === undefined || id === instance);
  return {
    ...seen,
    instances: seen.instances.filter((i) => wanted(i, i.id)),
    series: seen.series.filter((s) => wanted(s, s.instance)),
  };
}

/** Analyses that say something about what is seen: of the chosen version, or of all that ran in the range. */
function relevant(all: Analysis[], versions: string[], version: string | undefined): Analysis[] {
  if (version !== undefined) return all.filter((a) => a.version === version);
  const running = all.filter((a) => versions.includes(a.version));
  return running.length ? running : all;
}

interface ServiceViewProps {
  service: string;
  route: Route;
  range: Range;
}

export function ServiceView({ service, route, range }: ServiceViewProps): ReactNode {
  const version = route.query.get("version") ?? undefined;
  const instance = route.query.get("instance") ?? undefined;
  const seen = useQuery(`seen ${service} ${range.key}`, (signal) => look(service, range, signal));
  const said = useQuery(`analyses ${service}`, (signal) => analyses(service, signal));
  const versions = useMemo(() => [...new Set(seen.data?.instances.map((i) => i.version) ?? [])].sort(), [seen.data]);
  const chosen = useMemo(() => relevant(said.data ?? [], versions, version), [said.data, versions, version]);
  const leaking = useMemo(() => new Set(verdictsOf(chosen).flatMap((v) => (v.verdict === "leak" ? [v.site.function] : []))), [chosen]);
  return (
    <main>
      <div className="view-head">
        <h1>{service}</h1>
        <VersionChoice versions={versions} version={version} />
        {instance !== undefined && <InstanceTag seen={seen.data} instance={instance} />}
      </div>
      <Ready of={said} what="the verdict">
        {() => <Headline analyses={chosen} />}
      </Ready>
      {verdictsOf(chosen).length > 0 && <LeakTable verdicts={verdictsOf(chosen)} route={route} />}
      <Ready of={seen} what="the timeline">
        {(all) => <Memory seen={only(all, version, instance)} analyses={chosen} range={range} />}
      </Ready>
      <FlamePanel service={service} version={version} instance={instance} range={range} leaking={leaking} endpoint={route.query.get("endpoint") ?? ""} />
      <CensusPanel service={service} version={version} instance={instance} range={range} />
      <EndpointsPanel service={service} version={version} instance={instance} range={range} chosen={route.query.get("endpoint") ?? ""} />
      <Ready of={seen} what="instances">
        {(all) => <Rest seen={only(all, version, instance)} all={only(all, version, undefined)} instance={instance} analyses={chosen} range={range} />}
      </Ready>
    </main>
  );
}

/** Says that one instance is shown, and leads back to all. */
function InstanceTag({ seen, instance }: { seen: Seen | undefined; instance: string }): ReactNode {
  const setQuery = useSetQuery();
  const name = seen && instanceNames(seen.instances).get(instance);
  return (
    <span className="tag" title={instance}>
      only {name ?? instance}{" "}
      <button type="button" className="link" onClick={() => setQuery("instance", null)}>
        show all
      </button>
    </span>
  );
}

function VersionChoice({ versions, version }: { versions: string[]; version: string | undefined }): ReactNode {
  const setQuery = useSetQuery();
  if (versions.length < 2 && version === undefined) return versions[0] ? <span className="muted">{versions[0]}</span> : null;
  const named = [...new Set([...versions, version ?? ""])].filter(Boolean);
  const options = [{ key: "", name: "All versions" }, ...named.map((v) => ({ key: v, name: v }))];
  return <Choice label="Version" options={options} value={version ?? ""} onChange={(key) => setQuery("version", key || null)} />;
}

/** Seconds after which an analysis is no longer news: many times its usual interval. */
const LATE = 600;

function Headline({ analyses: list }: { analyses: Analysis[] }): ReactNode {
  const status = statusOf(list);
  const forecast = firstForecast(list);
  const time = Math.max(0, ...list.map((a) => a.time));
  const now = useNow();
  return (
    <div className={`headline headline-${status.replace(" ", "-")}`}>
      <StatusTag status={status} />
      <p>
        {headline(list)}{" "}
        {forecast && (
          <>
            The first instance <ForecastText forecast={forecast.forecast} from={forecast.from} />.
          </>
        )}
        {status === "unknown" && (
          <>
            Start <code>heapwatch analyze --collector {window.location.origin}</code>.
          </>
        )}
      </p>
      <p className="note">
        {time > 0 && (
          <>
            Analysed <Ago time={time} />.
          </>
        )}{" "}
        {time > 0 && now - time > LATE && <strong>That is long ago: is heapwatch analyze still running? </strong>}
        {list.flatMap((a) => a.notes).join(" ")}
      </p>
    </div>
  );
}

function Memory({ seen, analyses: list, range }: { seen: Seen; analyses: Analysis[]; range: Range }): ReactNode {
  const names = useMemo(() => instanceNames(seen.instances), [seen]);
  const marks: Mark[] = [
    ...seen.instances.filter((i) => i.first_seen > seen.span.start + 60).map((i): Mark => ({ time: i.first_seen, kind: "start" })),
    ...actionMarks(seen.series),
    ...list.flatMap((a) => a.anomalies).filter((a) => seen.instances.some((i) => i.id === a.instance)).map((a): Mark => ({ time: a.time, kind: "anomaly" })),
  ];
  const lines = seen.series.filter((s) => (s.name === RSS || s.name === LIVE) && s.points.length > 0);
  return (
    <Panel title="Memory over time">
      {lines.length ? (
        <Timeline series={lines} instances={seen.instances} names={names} marks={marks} span={seen.span} step={stepOf(range)} />
      ) : (
        <Empty>Nothing was received in the last {range.name}. Choose a longer range.</Empty>
      )}
    </Panel>
  );
}

interface RestProps {
  seen: Seen;
  /** With the instances that aren't chosen. */
  all: Seen;
  instance: string | undefined;
  analyses: Analysis[];
  range: Range;
}

function Rest({ seen, all, instance, analyses: list, range }: RestProps): ReactNode {
  const names = useMemo(() => instanceNames(all.instances), [all]);
  return (
    <>
      <InstanceTable instances={all.instances} names={names} analyses={list} chosen={instance} states={defenceStates(all.series)} />
      <Advice analyses={list} names={names} />
      <Panel title="Garbage-collection pauses" note="99 of 100 pauses are at most this long">
        <Pauses series={seen.series.filter((s) => s.name === PAUSE)} span={seen.span} step={stepOf(range)} />
      </Panel>
    </>
  );
}
