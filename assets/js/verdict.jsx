import { useId, useRef, useState } from "react";

// A decision about one price: nothing is sent without a reason, and Enter in the field decides nothing.
export function Verdict({ price, about, source = "", kin = 0, verdict = "", least = 3, onJudge, ref: _ref }) {
  const id = useId(), reason = useRef(null), together = useRef(null);
  const [missing, setMissing] = useState(false);
  const judge = (decision) => {
    const why = reason.current.value.trim();
    setMissing(why.length < least);
    if (why.length < least) return reason.current.focus();
    // The line goes when the decision is made; the keyboard must not fall back to the top of the page.
    document.getElementById("doubted")?.focus();
    onJudge?.(price, decision, why, together.current?.checked ?? false);
  };
  const look = "inline-flex h-8 items-center rounded border px-3 font-medium whitespace-nowrap ";
  return (
    <div className="grid gap-2">
      <div className="flex flex-wrap items-end gap-2">
        <div className="min-w-[130px] flex-1">
          <label htmlFor={id} className="mb-1 block text-[12.5px] text-ink-2">Reason, kept with the decision</label>
          <input
            id={id}
            ref={reason}
            maxLength={500}
            autoComplete="off"
            aria-invalid={missing}
            aria-describedby={id + "-why"}
            className="h-8 w-full rounded border border-line-strong bg-surface px-2.5 text-ink aria-invalid:border-bad"
            onInput={() => setMissing(false)}
            data-testid="reason"
          />
        </div>
        {verdict !== "accept" && (
          <button type="button" aria-label={`Accept ${about}`} className={look + "border-line-strong bg-surface hover:bg-sunken"} onClick={() => judge("accept")} data-testid="accept">
            Accept
          </button>
        )}
        {verdict !== "reject" && (
          <button type="button" aria-label={`Reject ${about}`} className={look + "border-bad bg-surface text-bad hover:bg-bad-soft"} onClick={() => judge("reject")} data-testid="reject">
            Reject
          </button>
        )}
      </div>
      <p id={id + "-why"} role="alert" className="text-[12.5px] text-bad empty:hidden">{missing ? "Say why in a few words." : ""}</p>
      {kin > 0 && (
        <label className="flex items-center gap-2 text-[13px] text-ink-2">
          <input ref={together} type="checkbox" className="box" />
          Together with {kin === 1 ? "the other price" : `the ${kin} other prices`} of this offer that {source} says
        </label>
      )}
    </div>
  );
}
