// Numbers and times as people read them: binary units, local time.

const KI = 1024;
const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Three significant digits at the most, without trailing zeros. */
function short(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

function sizeUnit(bytes: number): number {
  let unit = 0;
  let size = Math.abs(bytes);
  while (size >= 999.5 && unit < SIZES.length - 1) {
    size /= KI;
    unit += 1;
  }
  return unit;
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const unit = sizeUnit(value);
  return `${short(value / KI ** unit)} ${SIZES[unit]}`;
}

/** Per minute when that is at least 1 KiB, else per hour: the rate that a person can picture. */
function rateBase(perSecond: number): { seconds: number; name: string } {
  return Math.abs(perSecond) * 60 >= KI ? { seconds: 60, name: "min" } : { seconds: 3600, name: "h" };
}

export function byteRate(perSecond: number): string {
  const base = rateBase(perSecond);
  return `${bytes(perSecond * base.seconds)}/${base.name}`;
}

/** "12.1–13.4 MiB/min", in the unit of `middle`. */
export function byteRateInterval(low: number, high: number, middle: number): string {
  const base = rateBase(middle);
  const unit = sizeUnit(middle * base.seconds);
  const part = (value: number): string => short((value * base.seconds) / KI ** unit);
  return `${part(low)} to ${part(high)} ${SIZES[unit]}/${base.name}`;
}

export function count(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9) return `${short(value / 1e9)} G`;
  if (size >= 1e6) return `${short(value / 1e6)} M`;
  if (size >= 1e4) return `${short(value / 1e3)} k`;
  return size >= 100 ? String(Math.round(value)) : short(value);
}

export function objectRate(perSecond: number): string {
  return Math.abs(perSecond) * 60 >= 1 ? `${count(perSecond * 60)} objects/min` : `${count(perSecond * 3600)} objects/h`;
}

export function percent(share: number): string {
  const value = share * 100;
  return value > 0 && value < 1 ? "< 1 %" : `${Math.round(value)} %`;
}

export function duration(seconds: number): string {
  const size = Math.abs(seconds);
  if (size === 0) return "0 s";
  if (size < 0.001) return `${short(seconds * 1e6)} µs`;
  if (size < 1) return `${short(seconds * 1e3)} ms`;
  if (size < 100) return `${short(seconds)} s`;
  if (size < 100 * 60) return `${Math.round(seconds / 60)} min`;
  if (size < 48 * 3600) return `${short(seconds / 3600)} h`;
  return `${short(seconds / 86400)} d`;
}

export function ago(time: number, now: number): string {
  const seconds = now - time;
  return seconds < 5 ? "just now" : `${duration(Math.round(seconds))} ago`;
}

const sameDay = (a: Date, b: Date): boolean => a.toDateString() === b.toDateString();

/** "03:40", with the day where it isn't today's. */
export function clock(time: number, now: number): string {
  const date = new Date(time * 1000);
  const hour = date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  if (sameDay(date, new Date(now * 1000))) return hour;
  const days = Math.abs(time - now) / 86400;
  const day: Intl.DateTimeFormatOptions = days < 6 ? { weekday: "short" } : { month: "short", day: "numeric" };
  return `${date.toLocaleDateString(undefined, day)} ${hour}`;
}

export function utc(time: number): string {
  return `${new Date(time * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** A measured figure without a unit: as many digits as say something. */
export function figure(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || (size < 1e-3 && size > 0)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

const INSTALLED = /^.*\/(?:(?:site|dist)-packages|python3\.\d+t?)\//;

/** What a person looks for in a path: below the library's folder, else its end. The title has it whole. */
export function shortPath(file: string): string {
  const inside = file.replace(INSTALLED, "");
  if (inside !== file) return inside;
  const parts = file.split("/");
  return parts.length <= 4 ? file : `…/${parts.slice(-3).join("/")}`;
}
