import { useState, type ReactNode } from "react";

interface LongTableProps<T> {
  className?: string;
  /** The cells of the header. */
  head: ReactNode;
  rows: readonly T[];
  /** How many rows are shown at first. */
  first: number;
  row: (value: T) => ReactNode;
}

/** A table that shows its first rows until the others are asked for. */
export function LongTable<T>({ className, head, rows, first, row }: LongTableProps<T>): ReactNode {
  const [all, setAll] = useState(false);
  return (
    <>
      <div className="scroll">
        <table className={className}>
          <thead>
            <tr>{head}</tr>
          </thead>
          <tbody>{(all ? rows : rows.slice(0, first)).map((value) => row(value))}</tbody>
        </table>
      </div>
      {!all && rows.length > first && (
        <button type="button" onClick={() => setAll(true)}>
          Show {rows.length - first} more
        </button>
      )}
    </>
  );
}
