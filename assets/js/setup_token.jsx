import { useEffect, useRef } from "react";

// The link from the console is /setup#token=…: a fragment is sent to nobody. It is put into the field and taken out of the address,
// so that neither the history nor a shared screen keeps it.
export function SetupToken({ className, describedBy, ref: _ref }) {
  const field = useRef(null);
  useEffect(() => {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (!token) return;
    if (field.current) field.current.value = token;
    history.replaceState(history.state, "", location.pathname + location.search);
  }, []);
  return (
    <input ref={field} id="token" name="token" type="password" required autoComplete="off" spellCheck={false} className={className} aria-describedby={describedBy} />
  );
}
