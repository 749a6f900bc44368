import { useEffect, useRef } from "react";

// Keeps the address in step with what the page shows, without navigating. It writes only when `query` changes while the page is
// open: on arrival the address is what the person asked for, and the state must follow it, not the other way round.
export function Address({ query, answered }) {
  const last = useRef(query);
  useEffect(() => {
    if (last.current === query) return;
    last.current = query;
    if (location.search !== query) history.replaceState(history.state, "", location.pathname + query + location.hash);
  }, [query]);
  useEffect(() => {
    if (answered) delete document.documentElement.dataset.pending;
  }, [answered]);
  return null;
}
