import { useId, useState } from "react";

// Rows of a table that are there when somebody asks for them: two bodies of it, the first with the button.
export function Fold({ label, hint, span, children, ref: _ref }) {
  const [open, setOpen] = useState(false);
  const id = useId();
  return (
    <>
      <tbody>
        <tr>
          <td colSpan={span} className="max-w-0 border-b border-line py-1">
            <button
              type="button"
              aria-expanded={open}
              aria-controls={id}
              data-testid="fold"
              className="sticky left-0 flex max-w-[min(100%,calc(100vw-40px))] items-center gap-1.5 rounded py-1 pr-2 text-left text-[12.5px] text-ink-2 hover:text-ink"
              onClick={() => setOpen(!open)}
            >
              <svg width="14" height="14" viewBox="0 0 18 18" fill="none" stroke="currentColor" strokeWidth="1.5" className={"shrink-0 " + (open ? "rotate-90" : "")} aria-hidden="true">
                <path d="M7 4.5 11.5 9 7 13.5" />
              </svg>
              <span className="shrink-0 font-medium">{label}</span>
              {!open && <span className="truncate text-ink-3">{hint}</span>}
            </button>
          </td>
        </tr>
      </tbody>
      <tbody id={id} hidden={!open}>
        {children}
      </tbody>
    </>
  );
}
