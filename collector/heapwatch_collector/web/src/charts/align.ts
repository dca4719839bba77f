// uPlot wants one x axis for all lines: undefined = no point at this x, null = a gap to be seen.

export type Value = number | null | undefined;
export type Points = readonly (readonly [number, Value])[];

/** Lines of [time, value] over a shared axis; a pause longer than `gap` seconds breaks the line. */
export function align(lines: readonly Points[], gap: number): [number[], ...Value[][]] {
  const broken = lines.map((line) => withGaps(line, gap));
  const times = [...new Set(broken.flatMap((line) => line.map(([time]) => time)))].sort((a, b) => a - b);
  const position = new Map(times.map((time, index) => [time, index]));
  const columns = broken.map((line) => {
    const column: Value[] = new Array<Value>(times.length).fill(undefined);
    for (const [time, value] of line) column[position.get(time) as number] = value;
    return column;
  });
  return [times, ...columns];
}

function withGaps(line: Points, gap: number): Points {
  const result: (readonly [number, Value])[] = [];
  let before: number | undefined;
  for (const point of line) {
    if (before !== undefined && point[0] - before > gap) result.push([(before + point[0]) / 2, null]);
    result.push(point);
    before = point[0];
  }
  return result;
}
