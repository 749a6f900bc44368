import { useEffect, useId, useRef, useState } from "react";

// Filters beside the list where there is room, behind a button where there is not.
export function Drawer({ label, done, children, className, ref: _ref }) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const button = useRef(null);
  useEffect(() => {
    if (!open) return;
    const onKey = (event) => {
      if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
      setOpen(false);
      button.current.focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [open]);
  return (
    <div className={className}>
      <button
        ref={button}
        type="button"
        aria-expanded={open}
        aria-controls={id}
        data-testid="filters-open"
        className="flex h-9 w-full items-center justify-center rounded border border-line-strong bg-surface font-medium lg:hidden"
        onClick={() => setOpen(!open)}
      >
        {open ? "Hide filters" : label}
      </button>
      <div id={id} className={(open ? "block" : "hidden") + " lg:block"}>
        {children}
        <button
          type="button"
          className="mb-4 flex h-9 w-full items-center justify-center rounded border border-accent bg-accent font-medium text-on-accent lg:hidden"
          onClick={() => {
            setOpen(false);
            button.current.focus();
          }}
        >
          {done}
        </button>
      </div>
    </div>
  );
}
