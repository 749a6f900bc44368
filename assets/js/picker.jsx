import { useEffect, useId, useRef, useState } from "react";

// A search field with a list under it: models are asked from the server after a pause, and picking one sends its id. `hits` belong to
// the text `hitsFor`; answers to an older text are not shown as if they were for the new one.
export function Picker({ hits = [], hitsFor = "", label, placeholder, disabled = false, onAsk, onPick, className, ref: _ref }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [open, setOpen] = useState(false);
  const timer = useRef(0), ask = useRef(onAsk), pick = useRef(onPick);
  const id = useId();
  ask.current = onAsk;
  pick.current = onPick;
  useEffect(() => () => clearTimeout(timer.current), []);
  const wanted = text.trim();
  const lines = wanted && hitsFor === wanted ? hits : [];
  const current = Math.min(at, lines.length - 1);
  const shown = open && wanted !== "";
  const choose = (line) => {
    pick.current?.(line.id);
    setText("");
    setOpen(false);
  };
  const onInput = (event) => {
    const next = event.target.value;
    setText(next);
    setAt(0);
    setOpen(true);
    clearTimeout(timer.current);
    if (next.trim()) timer.current = setTimeout(() => ask.current?.(next.trim()), 180);
  };
  const onKeyDown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && lines.length) {
      event.preventDefault();
      setOpen(true);
      setAt((current + step + lines.length) % lines.length);
    } else if (event.key === "Enter" && shown && lines[current]) {
      event.preventDefault();
      choose(lines[current]);
    } else if (event.key === "Escape") {
      setText("");
      setOpen(false);
    }
  };
  return (
    <div className="relative min-w-0 grow">
      <input
        type="search"
        role="combobox"
        value={text}
        disabled={disabled}
        aria-label={label}
        aria-expanded={shown && lines.length > 0}
        aria-autocomplete="list"
        aria-controls={id}
        aria-activedescendant={shown && lines.length ? `${id}-${current}` : undefined}
        placeholder={placeholder}
        autoComplete="off"
        spellCheck={false}
        maxLength={200}
        className={className}
        data-testid="picker"
        onInput={onInput}
        onKeyDown={onKeyDown}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
      />
      <div
        id={id}
        role="listbox"
        aria-label={label}
        className={(shown ? "block" : "hidden") + " absolute top-full left-0 z-30 mt-1 w-full min-w-[280px] rounded-lg border border-line-strong bg-surface p-1.5 shadow-float"}
      >
        {lines.map((line, i) => (
          <div
            key={line.id}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === current}
            data-pick={line.id}
            className={"flex cursor-pointer items-center gap-3 rounded px-2.5 py-1.5 " + (i === current ? "bg-sunken text-ink" : "text-ink-2")}
            onMouseMove={() => setAt(i)}
            onMouseDown={(event) => {
              event.preventDefault();
              choose(line);
            }}
          >
            <span className="min-w-0 truncate font-medium">{line.label}</span>
            <span className="ml-auto shrink-0 truncate text-[12.5px] text-ink-3">{line.hint}</span>
          </div>
        ))}
        {shown && !lines.length ? (
          <p role="option" aria-selected="false" aria-disabled="true" className="px-2.5 py-1.5 text-[12.5px] text-ink-3">
            {hitsFor === wanted ? "Nothing has that name. Try fewer letters." : "Searching the catalog…"}
          </p>
        ) : null}
      </div>
    </div>
  );
}
