import { useRef } from "react";

// The prompt belongs to the browser until it is sent: typing never waits for the server, and nothing of it is kept in an address.
export function Composer({ busy = false, disabled = false, onRun, onStop, ref: _ref }) {
  const prompt = useRef(null), system = useRef(null);
  const run = (event) => {
    event?.preventDefault();
    if (prompt.current.value.trim() && !busy && !disabled) onRun?.(prompt.current.value, system.current.value);
    else if (prompt.current.form.reportValidity()) prompt.current.focus();
  };
  const onKeyDown = (event) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) run(event);
  };
  const area = "w-full resize-y rounded border border-line-strong bg-surface px-2.5 py-2 text-ink";
  return (
    <form onSubmit={run} onKeyDown={onKeyDown} className="min-w-0">
      <label htmlFor="prompt" className="mb-1 block text-[13px] font-medium">Prompt</label>
      <textarea id="prompt" ref={prompt} required rows={4} maxLength={90000} placeholder="What all of them are asked" className={area} data-testid="prompt" />
      <details className="group mt-1.5">
        <summary className="inline-block text-[13px] text-ink-2 underline-offset-2 hover:underline">
          <svg width="14" height="14" viewBox="0 0 18 18" fill="none" stroke="currentColor" strokeWidth="1.5" className="mr-1 inline-block text-ink-3 group-open:rotate-90" aria-hidden="true">
            <path d="M7 4.5 11.5 9 7 13.5" />
          </svg>
          System prompt
        </summary>
        <textarea
          ref={system}
          rows={3}
          maxLength={90000}
          aria-label="System prompt"
          placeholder="How they are to answer; optional"
          className={area + " mt-1.5"}
          data-testid="system"
        />
      </details>
      <div className="mt-2.5 flex flex-wrap items-center gap-3">
        {busy ? (
          <button
            type="button"
            data-testid="stop-all"
            onClick={() => onStop?.()}
            className="inline-flex h-8 items-center rounded border border-line-strong bg-surface px-3 font-medium hover:bg-sunken"
          >
            Stop all
          </button>
        ) : (
          <button
            type="submit"
            disabled={disabled}
            data-testid="run"
            className="inline-flex h-8 items-center rounded border border-accent bg-accent px-3 font-medium text-on-accent hover:opacity-90"
          >
            Run
          </button>
        )}
        <span className="text-[12.5px] text-ink-3">Ctrl or ⌘ with Enter runs it.</span>
      </div>
    </form>
  );
}
