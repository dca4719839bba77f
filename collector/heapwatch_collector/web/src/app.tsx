import { useCallback, useEffect, useMemo, useState, type ReactNode } from "react";
import { ApiError } from "./api/client";
import { services } from "./api/collector";
import type { Service } from "./api/documents";
import { Choice } from "./parts/choice";
import { Clock, NowProvider } from "./parts/time";
import { TokenDialog } from "./parts/token";
import { Refresh, Report, useQuery, type Outcome } from "./query";
import { chosenRange, fittingRange, RANGES, refreshSeconds, STANDARD, type Range } from "./range";
import { serviceHref, servicesHref, useRoute, useSetQuery, type Route } from "./route";
import { LeakView } from "./views/leak";
import { ServiceView } from "./views/service";
import { ServicesView } from "./views/services";

function View({ route, range }: { route: Route; range: Range }): ReactNode {
  const { place } = route;
  switch (place.view) {
    case "services":
      return <ServicesView route={route} range={range} />;
    case "service":
      return <ServiceView key={place.service} service={place.service} route={route} range={range} />;
    case "leak":
      return <LeakView key={place.site} service={place.service} site={place.site} route={route} />;
    case "nowhere":
      return (
        <main>
          <h1>There is no page {place.path}</h1>
          <p>
            <a href={servicesHref()}>All services</a>
          </p>
        </main>
      );
  }
}

function Trail({ route }: { route: Route }): ReactNode {
  const { place, query } = route;
  const service = place.view === "service" || place.view === "leak" ? place.service : undefined;
  return (
    <nav aria-label="Where you are" className="trail">
      <a href={servicesHref()} className="brand">
        Heapwatch
      </a>
      {service !== undefined && (
        <a href={serviceHref(service, query)} {...(place.view === "service" ? { "aria-current": "page" } : {})}>
          {service}
        </a>
      )}
      {place.view === "leak" && <span aria-current="page">evidence</span>}
    </nav>
  );
}

interface Health {
  /** A failure that concerns the whole page, or undefined while all is well. */
  error: ApiError | undefined;
  lastGood: number | undefined;
  report: (key: string, outcome: Outcome) => void;
}

/** The refusal of one document (404) is that view's matter; the collector gone, locked or ill is everyone's. */
function isEveryones(error: ApiError): boolean {
  return error.status === 0 || error.status === 401 || error.status >= 500;
}

function useHealth(): Health {
  const [errors, setErrors] = useState<ReadonlyMap<string, ApiError>>(new Map());
  const [lastGood, setLastGood] = useState<number>();
  const report = useCallback((key: string, outcome: Outcome) => {
    if (outcome === "good") setLastGood(Date.now() / 1000);
    setErrors((old) => {
      const failed = outcome instanceof ApiError && isEveryones(outcome);
      if (!failed && !old.has(key)) return old;
      const renewed = new Map(old);
      if (failed) renewed.set(key, outcome);
      else renewed.delete(key);
      return renewed;
    });
  }, []);
  return { error: [...errors.values()][0], lastGood, report };
}

function Stale({ error, since }: { error: ApiError; since: number }): ReactNode {
  return (
    <p className="stale" role="alert">
      <strong>{error.message}</strong> {error.mend} What you see is of <Clock time={since} />.
    </p>
  );
}

/** The range that the address names, else one that fits what was seen; undefined until that is known. */
function useRange({ place, query }: Route): Range | undefined {
  const chosen = chosenRange(query);
  const fits = chosen === undefined && (place.view === "services" || place.view === "service");
  const known = useQuery<Service[]>(fits ? "first seen" : "", (signal) => (fits ? services(signal) : Promise.resolve([])));
  if (!fits) return chosen ?? STANDARD;
  if (known.pending) return undefined;
  const seen = (known.data ?? []).filter((service) => place.view === "services" || service.name === place.service);
  if (seen.length === 0) return STANDARD;
  const [first, last] = [seen.map((s) => s.first_seen), seen.map((s) => s.last_seen)];
  return fittingRange(Math.min(...first), Math.max(...last), Date.now() / 1000);
}

export function App(): ReactNode {
  const route = useRoute();
  const setQuery = useSetQuery();
  const [live, setLive] = useState(true);
  const [session, setSession] = useState(0);
  const { error, lastGood, report } = useHealth();
  const range = useRange(route);
  const locked = error?.status === 401;
  const refresh = useMemo(() => (live && !locked ? refreshSeconds(range ?? STANDARD) : null), [live, locked, range]);
  const title = titleOf(route);
  useEffect(() => void (document.title = title), [title]);

  return (
    <NowProvider>
      <Refresh value={refresh}>
        <Report value={report}>
          <header className="top">
            <Trail route={route} />
            <div className="top-tools">
              {route.place.view !== "leak" && (
                <Choice label="Time range" options={RANGES} value={range?.key ?? ""} onChange={(key) => setQuery("range", key)} />
              )}
              <label className="switch" title={`Reads again every ${refreshSeconds(range ?? STANDARD)} s`}>
                <input type="checkbox" checked={live} onChange={(event) => setLive(event.target.checked)} /> Live
              </label>
            </div>
          </header>
          {error && !locked && lastGood !== undefined && <Stale error={error} since={lastGood} />}
          {locked && <TokenDialog key={`token ${session}`} onSaved={() => setSession(session + 1)} />}
          {range && <View key={`view ${session}`} route={route} range={range} />}
        </Report>
      </Refresh>
    </NowProvider>
  );
}

function titleOf({ place }: Route): string {
  if (place.view === "service") return `${place.service} · Heapwatch`;
  if (place.view === "leak") return `Leak in ${place.service} · Heapwatch`;
  return "Heapwatch";
}
