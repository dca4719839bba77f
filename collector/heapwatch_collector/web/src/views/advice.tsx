import type { ReactNode } from "react";
import type { Analysis, Anomaly, Recommendation, Scaling } from "../api/documents";
import { bytes, percent } from "../format";
import { CopyButton } from "../parts/copy";
import { Panel } from "../parts/panel";
import { Clock } from "../parts/time";

const ACTIONS: Record<Scaling["action"], string> = {
  keep: "Keep the size",
  resize: "Resize each instance",
  scale_out: "Add instances",
  scale_in: "Remove instances",
  restart: "Restart, and mend the leak",
};

/** What the analyzer recommends: changes, size, and what looks unusual. */
export function Advice({ analyses, names }: { analyses: Analysis[]; names: Map<string, string> }): ReactNode {
  const recommendations = analyses.flatMap((a) => a.recommendations);
  const anomalies = analyses.flatMap((a) => a.anomalies).sort((a, b) => b.time - a.time);
  const scalings = analyses.flatMap((a) => (a.scaling ? [{ version: a.version, scaling: a.scaling }] : []));
  return (
    <div className="columns">
      {recommendations.length > 0 && (
        <Panel title="What to change">
          <ul className="plain">
            {recommendations.map((one) => (
              <RecommendationItem key={one.title + one.text} one={one} />
            ))}
          </ul>
        </Panel>
      )}
      {scalings.map(({ version, scaling }) => (
        <ScalingPanel key={version} scaling={scaling} />
      ))}
      {anomalies.length > 0 && (
        <Panel title="Unusual behaviour">
          <ul className="plain">
            {anomalies.map((one) => (
              <AnomalyItem key={`${one.instance} ${one.time}`} one={one} name={names.get(one.instance) ?? one.instance} />
            ))}
          </ul>
        </Panel>
      )}
    </div>
  );
}

export function RecommendationItem({ one }: { one: Recommendation }): ReactNode {
  return (
    <li>
      <strong>{one.title}</strong>
      {one.saves_bytes_per_hour > 0 && <span className="muted"> saves {bytes(one.saves_bytes_per_hour)}/h</span>}
      <p>{one.text}</p>
    </li>
  );
}

function AnomalyItem({ one, name }: { one: Anomaly; name: string }): ReactNode {
  const causes = one.causes.map((c) => `${c.name} ${percent(c.share)}`).join(", ");
  return (
    <li>
      <Clock time={one.time} /> <strong title={one.instance}>{name}</strong>{" "}
      <span className="muted">score {one.score.toFixed(2)}</span>
      <p>
        {one.text} {causes && <span className="muted">({causes})</span>}
      </p>
    </li>
  );
}

function ScalingPanel({ scaling }: { scaling: Scaling }): ReactNode {
  return (
    <Panel title="Size">
      <p>
        <strong>{ACTIONS[scaling.action]}.</strong> {scaling.text}
      </p>
      <dl className="facts">
        <dt>Request</dt>
        <dd>{bytes(scaling.request)}</dd>
        <dt>Limit</dt>
        <dd>{bytes(scaling.limit)}</dd>
        <dt>Instances</dt>
        <dd>{scaling.replicas}</dd>
      </dl>
      {scaling.manifest && (
        <details>
          <summary>Manifest</summary>
          <pre>
            <code>{scaling.manifest}</code>
          </pre>
          <CopyButton name="Copy manifest" text={() => scaling.manifest} />
        </details>
      )}
    </Panel>
  );
}
