import { useEffect, useState } from "react";
import { useLocation } from "react-router";

// Where the form goes on to, taken from the page's own address: there before the server has answered anything, because a password
// manager, or who is quick, sends the form sooner. What such an address may be is for the server to decide.
export function NextField({ otherwise, ref: _ref }) {
  const { search } = useLocation();
  const [next, setNext] = useState(otherwise);
  useEffect(() => setNext(new URLSearchParams(search).get("next") || otherwise), [search, otherwise]);
  return <input type="hidden" name="next" value={next} readOnly />;
}
