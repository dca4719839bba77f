import { useMemo, type ReactNode } from "react";
import type { Evidence } from "../api/documents";
import { bytes, percent } from "../format";
import { objectGraph, place, type GraphEdge, type Placed } from "./graph";

const COLUMN = 250;
const ROW = 84;
const WIDTH = 170;
const HEIGHT = 48;
const MARGIN = 8;
const LABEL_LETTERS = 24;
const FIELD_LETTERS = 12;
const THICKEST = 9;

/** How the types hang together that keep the objects alive: thickness and bytes by the share of the samples. */
export function ObjectGraph({ evidence }: { evidence: Evidence }): ReactNode {
  const graph = useMemo(() => objectGraph(evidence), [evidence]);
  const { placed, columns, rows } = useMemo(() => place(graph, COLUMN, ROW), [graph]);
  const width = (columns - 1) * COLUMN + WIDTH + 2 * MARGIN;
  const height = (rows - 1) * ROW + HEIGHT + 2 * MARGIN;
  const told = graph.edges.map((edge) => `${name(placed, edge.from)} ${edge.field} ${name(placed, edge.to)}`);
  return (
    <div className="scroll">
      <svg className="object-graph" role="img" aria-label={`Object relationship graph: ${told.join("; ")}`} width={width} height={height} viewBox={`${-MARGIN} ${-MARGIN} ${width} ${height}`}>
        {graph.edges.map((edge) => (
          <EdgeLine key={`${edge.from} ${edge.to} ${edge.field}`} edge={edge} placed={placed} />
        ))}
        {[...placed.values()].map((one) => (
          <NodeBox key={one.node.id} one={one} />
        ))}
      </svg>
    </div>
  );
}

const name = (placed: Map<string, Placed>, id: string): string => placed.get(id)?.node.label ?? "";

function EdgeLine({ edge, placed }: { edge: GraphEdge; placed: Map<string, Placed> }): ReactNode {
  const from = placed.get(edge.from);
  const to = placed.get(edge.to);
  if (!from || !to) return null;
  const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
  const middle = (x1 + x2) / 2;
  return (
    <g className="object-edge">
      <path d={`M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`} strokeWidth={Math.max(1, THICKEST * Math.min(1, edge.share))} />
      <text x={middle} y={(y1 + y2) / 2 - 8}>
        <title>{`${edge.field}: ${percent(edge.share)} of the samples`}</title>
        {shortened(edge.field, FIELD_LETTERS)}
      </text>
    </g>
  );
}

function NodeBox({ one: { node, x, y } }: { one: Placed }): ReactNode {
  const kind = node.root !== null ? "object-root" : node.distance === 0 ? "object-leaf" : "";
  return (
    <g className={`object-node ${kind}`} transform={`translate(${x},${y})`}>
      <title>{[node.label, node.root !== null && node.type].filter(Boolean).join("\n")}</title>
      <rect width={WIDTH} height={HEIGHT} rx="6" />
      <text x="10" y="20">{shortened(node.label, LABEL_LETTERS)}</text>
      <text x="10" y="38" className="object-size">
        {bytes(node.bytes)} · {percent(node.share)}
      </text>
    </g>
  );
}

/** The end says more than the beginning, as in "app.models.Session". */
const shortened = (text: string, letters: number): string => (text.length <= letters ? text : `…${text.slice(1 - letters)}`);
