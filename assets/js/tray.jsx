import { useEffect, useRef, useState } from "react";
import { Link, useNavigate } from "react-router";

// The models that somebody picked to compare, kept by this browser and shown on every page until they are compared or put back.
const KEY = "bourse:compare", MOVED = "bourse:compare-moved", MOST = 6;

const read = () => {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one?.id === "string" && typeof one?.name === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
};
const write = (models) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(models));
  } catch {
    // A browser that keeps nothing: the choice lasts as long as the page, which is what it asked for.
  }
  dispatchEvent(new Event(MOVED));
};

const comparing = (models) => "/compare?models=" + models.map((one) => encodeURIComponent(one.id)).join(",");

const useTray = () => {
  const [models, setModels] = useState([]);
  useEffect(() => {
    const look = () => setModels(read());
    look();
    addEventListener(MOVED, look);
    addEventListener("storage", look);
    return () => {
      removeEventListener(MOVED, look);
      removeEventListener("storage", look);
    };
  }, []);
  return models;
};

// A square in a row, or with `words` a button: puts a model into the tray and takes it out again.
export function Compare({ model, name, words = "", className, ref: _ref }) {
  const models = useTray();
  const chosen = models.some((one) => one.id === model);
  const full = !chosen && models.length >= MOST;
  const toggle = () => {
    const now = read().filter((one) => one.id !== model);
    write(chosen ? now : [...now, { id: model, name }].slice(0, MOST));
  };
  if (words) {
    return (
      <button type="button" className={className} disabled={full} aria-pressed={chosen} data-testid="compare" onClick={toggle}>
        {chosen ? "In the comparison" : words}
      </button>
    );
  }
  return (
    <input type="checkbox" className="box" checked={chosen} disabled={full} aria-label={`Compare ${name}`} data-compare={model} onChange={toggle} />
  );
}

// The tray itself; nothing while it is empty, and nothing on the page that compares.
export function Tray({ hidden = false, primary, quiet, ref: _ref }) {
  const models = useTray();
  if (hidden || !models.length) return null;
  return (
    <aside
      aria-label="To compare"
      data-testid="tray"
      className="rise sticky bottom-0 z-40 flex flex-wrap items-center gap-x-3 gap-y-1.5 border-t border-line-strong bg-surface px-4 py-2 shadow-float sm:px-6"
    >
      <ul className="flex min-w-0 flex-wrap gap-1.5">
        {models.map((one) => (
          <li key={one.id}>
            <button
              type="button"
              aria-label={`Take ${one.name} out of the comparison`}
              className="inline-flex h-[26px] max-w-[180px] items-center gap-1.5 rounded-full bg-accent-soft px-[9px] text-[12.5px]"
              onClick={() => write(read().filter((kept) => kept.id !== one.id))}
            >
              <span className="truncate">{one.name}</span>
              <span aria-hidden="true">×</span>
            </button>
          </li>
        ))}
      </ul>
      <span className="ml-auto flex items-center gap-2">
        <button type="button" className={quiet} onClick={() => write([])}>Clear</button>
        {models.length > 1 ? (
          <Link className={primary} to={comparing(models)}>Compare {models.length}</Link>
        ) : (
          <span className="text-[12.5px] text-ink-3">Pick one more to compare</span>
        )}
      </span>
    </aside>
  );
}

// On the page that compares: it begins with the tray where its address names no model, and from its answers on the tray holds what is
// compared there.
export function TrayFollows({ models, answered }) {
  const navigate = useNavigate();
  const before = useRef(answered);
  useEffect(() => {
    const kept = read();
    if (kept.length && !new URLSearchParams(location.search).get("models")) navigate(comparing(kept), { replace: true });
  }, []);
  useEffect(() => {
    if (answered === before.current) return;
    before.current = answered;
    const now = (models ?? []).map(({ id, name }) => ({ id, name }));
    if (JSON.stringify(now) !== JSON.stringify(read())) write(now);
  }, [answered]);
  return null;
}
