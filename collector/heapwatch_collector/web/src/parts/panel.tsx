import { useId, type ReactNode } from "react";

interface PanelProps {
  title: string;
  note?: ReactNode;
  tools?: ReactNode;
  /** A name by which the page is scrolled to it. */
  anchor?: string;
  children: ReactNode;
}

/** A titled section of a view. */
export function Panel({ title, note, tools, anchor, children }: PanelProps): ReactNode {
  const id = useId();
  return (
    <section className="panel" aria-labelledby={id} {...(anchor === undefined ? {} : { id: anchor })}>
      <header className="panel-head">
        <h2 id={id}>{title}</h2>
        {note !== undefined && <p className="note">{note}</p>}
        {tools !== undefined && <div className="tools">{tools}</div>}
      </header>
      {children}
    </section>
  );
}

export function Empty({ children }: { children: ReactNode }): ReactNode {
  return <p className="empty">{children}</p>;
}
