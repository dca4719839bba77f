import type { ReactNode } from "react";

export interface Order {
  key: string;
  rising: boolean;
}

interface SortableProps {
  name: string;
  title?: string;
  column: string;
  order: Order;
  onOrder: (order: Order) => void;
  className?: string;
}

/** A column's head by which the table is sorted: the largest first, at a second press the smallest. */
export function Sortable({ name, title, column, order, onOrder, className }: SortableProps): ReactNode {
  const chosen = order.key === column;
  return (
    <th scope="col" className={className} aria-sort={chosen ? (order.rising ? "ascending" : "descending") : "none"}>
      <button type="button" className="sort" title={title} onClick={() => onOrder({ key: column, rising: chosen && !order.rising })}>
        {name}
        <span aria-hidden="true">{chosen ? (order.rising ? " ↑" : " ↓") : ""}</span>
      </button>
    </th>
  );
}
