// The documents that the collector answers with. Times are Unix seconds, sizes bytes.

export type Status = "leak" | "no leak" | "learning" | "unknown";

export interface Service {
  name: string;
  versions: string[];
  instances: number;
  /** Processes that serve nothing and have forked instances. */
  parents: number;
  first_seen: number;
  last_seen: number;
  rss_bytes: number | null;
  status: Status;
  leaks: number;
}

export interface Instance {
  id: string;
  version: string;
  pid: number | null;
  host: string;
  runtime: string;
  first_seen: number;
  last_seen: number;
  rss_bytes: number | null;
  limit_bytes: number | null;
  live_bytes: number | null;
  role: "worker" | "parent";
}

/** What an endpoint did: figures are averages of one request, null where they aren't measured. */
export interface Endpoint {
  name: string;
  requests: number;
  errors: number;
  duration: number | null;
  p50: number | null;
  p99: number | null;
  allocated: number | null;
  retained: number | null;
  peak: number | null;
  gc: number | null;
  cpu: number | null;
  statements: number | null;
  repeated: number | null;
  statement_seconds: number | null;
  template_seconds: number | null;
  live: number;
  /** [time, requests, bytes allocated] per step. */
  points: [number, number, number][];
}

export interface Endpoints {
  /** How much of the range was seen. */
  seconds: number;
  endpoints: Endpoint[];
}

/** A gauge or counter has points [time, value]; a histogram [time, count, sum] and its buckets. */
export interface Series {
  name: string;
  instance: string;
  version: string;
  attributes: Record<string, string | number>;
  points: number[][];
  buckets?: [number[], number[][]];
}

export interface Call {
  function: string;
  file: string;
  line: number;
}

export interface Site extends Call {
  id: string;
  caller: Call | null;
  stack: Call[];
}

export interface Growth {
  bytes_per_second: number;
  low: number;
  high: number;
  objects_per_second: number;
  confidence: number;
}

export interface Holder {
  path: string;
  root: "module" | "class" | "thread" | "frame" | "generator" | "C" | "unknown";
  types: string[];
  share: number;
}

export interface Share {
  name: string;
  share: number;
}

/** A part of a process's memory: bytes now and their growth. */
export interface Part {
  name: string;
  bytes: number;
  bytes_per_second: number;
  meaning: string;
}

export interface Forecast {
  current: number;
  limit: number;
  seconds: number;
  low: number;
  high: number | null;
  confidence: number;
}

export interface Recommendation {
  title: string;
  text: string;
  saves_bytes_per_hour: number;
}

export interface Evidence {
  verdict: "leak" | "suspicion";
  service: string;
  version: string;
  site: Site;
  type: string;
  live_bytes: number;
  live_objects: number;
  growth: Growth;
  time: number;
  instances: number;
  growing: number;
  series: { time: number; bytes: number; objects: number }[];
  statistics: Record<string, number>;
  thresholds: Record<string, number>;
  reasons: string[];
  holders: Holder[];
  endpoints: Share[];
  forecast: Forecast | null;
  recommendation: Recommendation | null;
  links: Record<string, string>;
  kind: "python" | "native" | "cycle";
  /** Of memory that no line of Python explains: what RSS consists of. Documents of older analyses lack it. */
  parts?: Part[];
  suspects?: string[];
}

export interface Anomaly {
  instance: string;
  time: number;
  score: number;
  causes: Share[];
  text: string;
}

export interface InstanceForecast {
  instance: string;
  bytes_per_second: number;
  low: number;
  high: number;
  forecast: Forecast | null;
}

export interface Scaling {
  action: "keep" | "resize" | "scale_out" | "scale_in" | "restart";
  request: number;
  limit: number;
  replicas: number;
  text: string;
  manifest: string;
}

export interface Analysis {
  service: string;
  version: string;
  time: number;
  window: number;
  status: "leak" | "no leak" | "learning";
  instances: number;
  verdicts: Evidence[];
  anomalies: Anomaly[];
  forecasts: InstanceForecast[];
  recommendations: Recommendation[];
  scaling: Scaling | null;
  notes: string[];
  statistics: Record<string, number>;
}
