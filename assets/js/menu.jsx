import { useEffect, useRef, useState } from "react";
import { Link, useLocation } from "react-router";

// The pages where the bar has no room to list them: a button, and a sheet that comes in from the side. The dialog itself keeps the
// keyboard inside and gives the focus back to the button; it closes on whatever leads elsewhere.
export function Menu({ entries, current, className, children, ref: _ref }) {
  const dialog = useRef(null);
  const [open, setOpen] = useState(false);
  const { key } = useLocation();
  useEffect(() => {
    if (!open) return;
    dialog.current.showModal();
    // React's own autofocus comes before the dialog is open and is lost.
    const links = dialog.current.querySelector("nav");
    (links.querySelector("[aria-current]") ?? links.querySelector("a"))?.focus();
  }, [open]);
  useEffect(() => setOpen(false), [key]);
  useEffect(() => {
    if (!open) return;
    // A turned telephone or a wider window may have room for the bar again.
    const leave = () => getComputedStyle(dialog.current.parentElement).display === "none" && setOpen(false);
    addEventListener("resize", leave);
    return () => removeEventListener("resize", leave);
  }, [open]);
  return (
    <div className={className}>
      <button
        type="button"
        aria-label="Menu"
        aria-haspopup="dialog"
        aria-expanded={open}
        data-testid="menu-open"
        className="grid size-8 place-items-center rounded text-ink-2 hover:bg-sunken hover:text-ink"
        onClick={() => setOpen(true)}
      >
        <svg width="18" height="18" viewBox="0 0 18 18" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" aria-hidden="true">
          <path d="M2.5 5h13M2.5 9h13M2.5 13h13" />
        </svg>
      </button>
      {open && (
        <dialog
          ref={dialog}
          aria-label="Menu"
          data-testid="menu"
          className="sheet"
          onClose={() => setOpen(false)}
          onClick={(event) => event.target === dialog.current && dialog.current.close()}
        >
          <div className="flex min-h-full flex-col">
            <div className="flex h-[52px] items-center border-b border-line pr-2.5 pl-5">
              <h2 className="text-[15px]">Menu</h2>
              <button
                type="button"
                aria-label="Close the menu"
                className="ml-auto grid size-9 place-items-center rounded text-ink-2 hover:bg-sunken hover:text-ink"
                onClick={() => dialog.current.close()}
              >
                <svg width="18" height="18" viewBox="0 0 18 18" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" aria-hidden="true">
                  <path d="M4 4l10 10M14 4L4 14" />
                </svg>
              </button>
            </div>
            <nav aria-label="Menu" className="grid gap-0.5 p-2.5">
              {entries.map(({ label, hint, href }) => (
                <Link
                  key={href}
                  to={href}
                  aria-current={href === current ? "page" : undefined}
                  className={"grid min-h-[48px] content-center rounded px-2.5 py-1.5 " + (href === current ? "bg-sunken" : "hover:bg-sunken")}
                  onClick={() => dialog.current.close()}
                >
                  <span className="font-medium">{label}</span>
                  <span className="text-[12.5px] text-ink-2">{hint}</span>
                </Link>
              ))}
            </nav>
            <div className="mt-auto border-t border-line px-5 py-4 empty:hidden">{children}</div>
          </div>
        </dialog>
      )}
    </div>
  );
}
