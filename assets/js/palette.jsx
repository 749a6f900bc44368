import { useEffect, useId, useMemo, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { isTyping } from "$/public/js/keyboard.js";

const OPEN = "bourse:palette";
const openPalette = () => dispatchEvent(new Event(OPEN));

// What stands in the top bar: looks like a field, opens the palette.
export function PaletteButton({ className, children, ref: _ref }) {
  const [mac, setMac] = useState(true);
  useEffect(() => setMac(/Mac|iPhone|iPad/.test(navigator.platform)), []);
  return (
    <button type="button" className={className} data-testid="palette-open" aria-haspopup="dialog" onClick={openPalette}>
      {children}
      <kbd className="ml-auto hidden rounded-sm border border-line-strong bg-paper px-[5px] py-[3px] font-mono text-[11px] leading-none sm:inline">
        {mac ? "⌘K" : "Ctrl K"}
      </kbd>
    </button>
  );
}

// Pages are known here; models are asked from the server, debounced, one question at a time. `hits` belong to the text `hitsFor`, and
// answers to an older text are not shown as if they were for the new one.
export function Palette({ pages, hits, hitsFor, onAsk, ref: _ref }) {
  const dialog = useRef(null), input = useRef(null), timer = useRef(0), ask = useRef(onAsk);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const navigate = useNavigate();
  const id = useId();
  ask.current = onAsk;

  useEffect(() => {
    const open = () => {
      if (dialog.current.open) return;
      setText("");
      setAt(0);
      dialog.current.showModal();
    };
    const onKey = (event) => {
      // Where the page has a search field of its own, "/" is that field's; everywhere else it searches here.
      if (event.key === "/" && !isTyping(event) && !event.metaKey && !event.ctrlKey) {
        if (document.querySelector('[data-shortcut="/"], dialog[open]')) return;
        event.preventDefault();
        open();
        return;
      }
      if (event.key?.toLowerCase() !== "k" || !(event.metaKey || event.ctrlKey) || event.shiftKey || event.altKey) return;
      event.preventDefault();
      if (dialog.current.open) dialog.current.close();
      else if (!document.querySelector("dialog[open]")) open();
    };
    addEventListener("keydown", onKey);
    addEventListener(OPEN, open);
    return () => {
      removeEventListener("keydown", onKey);
      removeEventListener(OPEN, open);
      clearTimeout(timer.current);
    };
  }, []);

  const wanted = text.trim();
  const lines = useMemo(() => {
    const low = wanted.toLowerCase();
    const found = pages.filter((page) => !low || (page.label + " " + page.hint).toLowerCase().includes(low));
    return wanted && hitsFor === wanted ? [...found, ...hits] : found;
  }, [wanted, pages, hits, hitsFor]);
  const waiting = wanted !== "" && hitsFor !== wanted;
  const current = Math.min(at, lines.length - 1);

  useEffect(() => {
    document.getElementById(`${id}-${current}`)?.scrollIntoView({ block: "nearest" });
  }, [current, id]);

  const go = (line) => {
    dialog.current.close();
    navigate(line.href);
  };
  const onInput = (event) => {
    const next = event.target.value;
    setText(next);
    setAt(0);
    clearTimeout(timer.current);
    if (next.trim()) timer.current = setTimeout(() => ask.current?.(next.trim()), 180);
  };
  const onKeyDown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && lines.length) {
      event.preventDefault();
      setAt((current + step + lines.length) % lines.length);
    } else if (event.key === "Enter" && lines[current]) {
      event.preventDefault();
      go(lines[current]);
    }
  };

  return (
    <dialog
      ref={dialog}
      aria-label="Find a model or page"
      data-testid="palette"
      className="w-[600px] rounded-lg border border-line-strong shadow-float"
      onClick={(event) => event.target === dialog.current && dialog.current.close()}
    >
      <input
        ref={input}
        autoFocus
        value={text}
        onInput={onInput}
        onKeyDown={onKeyDown}
        maxLength={200}
        placeholder="Find a model or page"
        aria-label="Find a model or page"
        role="combobox"
        aria-expanded={lines.length > 0}
        aria-autocomplete="list"
        aria-controls={id}
        aria-activedescendant={lines.length ? `${id}-${current}` : undefined}
        autoComplete="off"
        spellCheck={false}
        className="h-12 w-full border-b border-line bg-transparent px-4 text-[15px] outline-none"
      />
      <div id={id} role="listbox" aria-label="Found" className="max-h-[46vh] overflow-y-auto p-1.5">
        {lines.map((line, i) => (
          <div
            key={line.href}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === current}
            className={
              "flex cursor-pointer items-center gap-3 rounded px-2.5 py-2 " + (i === current ? "bg-sunken text-ink" : "text-ink-2")
            }
            onMouseMove={() => setAt(i)}
            onClick={() => go(line)}
          >
            <span className="min-w-0 truncate font-medium">{line.label}</span>
            <span className={"ml-auto shrink-0 truncate text-[12.5px] " + (i === current ? "text-ink-2" : "text-ink-3")}>{line.hint}</span>
          </div>
        ))}
      </div>
      <p role="status" className="border-t border-line px-4 py-2 text-[12.5px] text-ink-3">
        {waiting ? "Searching the catalog…" : lines.length ? "↑ ↓ to choose, Enter to open, Esc to close" : "Nothing has that name. Try fewer letters."}
      </p>
    </dialog>
  );
}
