import { useEffect, useRef } from "react";

// The prompt belongs to the browser until the person pauses. `given` replaces it whenever `filled` grows; a server that holds no text
// while one stands here (it forgot it, or the browser brought it back) is sent it again.
export function PromptField({ given = "", filled = 0, held = false, answered = 0, most, onSettle, ref: _ref }) {
  const area = useRef(null), timer = useRef(0), sent = useRef(""), send = useRef(onSettle);
  send.current = onSettle;
  const settle = (again) => {
    clearTimeout(timer.current);
    const text = area.current.value;
    if (text === sent.current && !again) return;
    sent.current = text;
    send.current?.(text);
  };
  useEffect(() => {
    if (!filled || !given) return;
    clearTimeout(timer.current);
    area.current.value = sent.current = given;
  }, [filled]);
  useEffect(() => {
    if (answered && !held && area.current.value.trim()) settle(true);
  }, [answered, held]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (area.current.value.trim()) settle(true);
        else area.current.focus();
      }}
      className="min-w-0"
    >
      <label htmlFor="prompt" className="mb-1 block text-[13px] font-medium">Prompt</label>
      <textarea
        id="prompt"
        ref={area}
        rows={5}
        maxLength={most}
        placeholder="Paste what you would send"
        aria-describedby="prompt-note"
        className="w-full resize-y rounded border border-line-strong bg-surface px-2.5 py-2 text-ink"
        data-testid="prompt"
        onInput={() => {
          clearTimeout(timer.current);
          timer.current = setTimeout(settle, 600);
        }}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !(event.metaKey || event.ctrlKey)) return;
          event.preventDefault();
          settle(true);
        }}
      />
      <div className="mt-2 flex flex-wrap items-center gap-x-3 gap-y-1">
        <button
          type="submit"
          data-testid="price"
          className="inline-flex h-8 items-center rounded border border-accent bg-accent px-3 font-medium text-on-accent hover:opacity-90"
        >
          Price it
        </button>
        <span id="prompt-note" className="text-[12.5px] text-ink-3">
          Counted on this server when you pause; sent to no model, written nowhere, and not in the address.
        </span>
      </div>
    </form>
  );
}

const TINTS = ["bg-accent-soft", "bg-warn-soft", "bg-info-soft", "bg-bad-soft"];

// A text in pieces, each in another tint than its neighbours. A piece that breaks the line shows where.
export function LitText({ pieces, label, ref: _ref }) {
  return (
    <p
      tabIndex={0}
      role="group"
      aria-label={label}
      data-testid="lit"
      className="max-h-72 overflow-y-auto rounded border border-line bg-surface px-3 py-2.5 font-mono text-[13px] leading-[1.75] break-words whitespace-pre-wrap"
    >
      {(pieces ?? []).map((piece, i) => (
        <span key={i} className={TINTS[i % TINTS.length] + " rounded-[3px] py-0.5"}>
          {piece.includes("\n") ? piece.replaceAll("\n", "↵\n") : piece}
        </span>
      ))}
    </p>
  );
}
