import type { ReactNode } from "react";
import type { Forecast } from "../api/documents";
import { bytes, percent } from "../format";
import { Clock } from "./time";

/** "meets its limit of 512 MiB at 03:40, between 03:20 and 04:10"; `from` is when the forecast was made. */
export function ForecastText({ forecast, from }: { forecast: Forecast; from: number }): ReactNode {
  const { limit, seconds, low, high } = forecast;
  if (seconds <= 0) return <>has met its limit of {bytes(limit)}</>;
  return (
    <span title={`with ${percent(forecast.confidence)} confidence, from ${bytes(forecast.current)}`}>
      meets its limit of {bytes(limit)} at <Clock time={from + seconds} />,{" "}
      {high === null ? (
        <>
          not before <Clock time={from + low} />
        </>
      ) : (
        <>
          between <Clock time={from + low} /> and <Clock time={from + high} />
        </>
      )}
    </span>
  );
}

/** "03:40 (03:20 to 04:10)", for tables. */
export function ForecastTimes({ forecast, from }: { forecast: Forecast; from: number }): ReactNode {
  if (forecast.seconds <= 0) return "now";
  return (
    <span className="number" title={`limit ${bytes(forecast.limit)}, ${percent(forecast.confidence)} confidence`}>
      <Clock time={from + forecast.seconds} />{" "}
      <span className="muted">
        (<Clock time={from + forecast.low} /> to {forecast.high === null ? "never" : <Clock time={from + forecast.high} />})
      </span>
    </span>
  );
}
