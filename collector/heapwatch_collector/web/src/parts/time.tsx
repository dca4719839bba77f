import { createContext, useContext, useEffect, useState, type ReactNode } from "react";
import { ago, clock, utc } from "../format";

const Now = createContext(0);

/** Gives everything below it the time of day, renewed every five seconds. */
export function NowProvider({ children }: { children: ReactNode }): ReactNode {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now() / 1000), 5000);
    return () => window.clearInterval(timer);
  }, []);
  return <Now value={now}>{children}</Now>;
}

export function useNow(): number {
  return useContext(Now);
}

/** A moment in local time, with UTC in the title. */
export function Clock({ time }: { time: number }): ReactNode {
  return (
    <time dateTime={new Date(time * 1000).toISOString()} title={utc(time)}>
      {clock(time, useNow())}
    </time>
  );
}

export function Ago({ time }: { time: number }): ReactNode {
  return (
    <time dateTime={new Date(time * 1000).toISOString()} title={utc(time)}>
      {ago(time, useNow())}
    </time>
  );
}
