import { useEffect, useMemo, useRef, useState } from "react";
import { CopyButton } from "$/public/js/copy.jsx";
import { bodyOf, curlOf, groupsOf, innerOf, limitsOf, matching, resolve, typeOf } from "$/public/js/api_document.js";
import { isTyping } from "$/public/js/keyboard.js";

const COLOURS = {
  get: "bg-info-soft text-info", post: "bg-accent-soft text-good", put: "bg-warn-soft text-warn", patch: "bg-warn-soft text-warn", delete: "bg-bad-soft text-bad",
};
const WHO = { session: "a session", key: "an API key", token: "an access token" };
const CODE = "overflow-x-auto rounded bg-sunken p-3.5 font-mono text-[12.5px] leading-[1.6]";
const LABEL = "text-[13px] font-semibold";

// Text of the document: what stands between backticks is code, all else is text.
const Said = ({ text }) =>
  (text ?? "").split("`").map((part, i) => (i % 2 ? <code key={i} className="rounded bg-sunken px-1 font-mono text-[.92em]">{part}</code> : part));

const Method = ({ method }) => (
  <span className={`w-[58px] shrink-0 rounded px-1.5 py-0.5 text-center font-mono text-[11px] font-medium uppercase ${COLOURS[method]}`}>{method}</span>
);

// One line: a name, what it is, what it means. `children` may be opened below it.
const Line = ({ name, required, type, text, limits, children }) => (
  <li className="border-t border-line py-1.5">
    <div className="flex flex-wrap items-baseline gap-x-2.5">
      <span className="font-mono text-[12.5px] font-medium break-all">{name}</span>
      <span className="text-[12.5px] text-ink-3">{type}{required ? ", needed" : ""}</span>
    </div>
    {(text || limits) && <p className="text-[13px] text-ink-2"><Said text={[text, limits].filter(Boolean).join("; ")} /></p>}
    {children}
  </li>
);

function Fields({ document, schema, seen = [] }) {
  const inner = innerOf(document, schema);
  if (!inner) return null;
  return (
    <ul>
      {Object.entries(inner.properties).map(([name, field]) => {
        const below = innerOf(document, field);
        return (
          <Line key={name} name={name} type={typeOf(document, field)} required={inner.required?.includes(name)}
            text={field.description ?? resolve(document, field).description} limits={limitsOf(document, field)}>
            {below && !seen.includes(below) && seen.length < 8 && (
              <Folded label={`Fields of ${name}`}><Fields document={document} schema={field} seen={[...seen, below]} /></Folded>
            )}
          </Line>
        );
      })}
    </ul>
  );
}

// Drawn when it is opened: all fields of all operations at once would be a hundred thousand elements.
function Folded({ label, children }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => event.target === event.currentTarget && setOpen(event.currentTarget.open)}>
      <summary className="inline-block py-1 text-[12.5px] text-accent underline-offset-2 hover:underline">{label}</summary>
      {open && <div className="border-l-2 border-line pl-3">{children}</div>}
    </details>
  );
}

function Answers({ document, responses }) {
  return (
    <ul>
      {Object.entries(responses).map(([status, said]) => {
        const answer = resolve(document, said);
        const [[type, media] = []] = Object.entries(answer.content ?? {});
        return (
          <Line key={status} name={status} type={Object.keys(answer.content ?? {}).join(", ") || "no body"} text={answer.description}>
            {type && status < "400" && innerOf(document, media.schema) && (
              <Folded label="Fields of the answer"><Fields document={document} schema={media.schema} /></Folded>
            )}
          </Line>
        );
      })}
    </ul>
  );
}

function Inside({ document, operation, origin }) {
  const curl = curlOf(document, operation, origin);
  const body = bodyOf(document, operation);
  const who = [...new Set((operation.security ?? []).flatMap((one) => Object.keys(one)))].map((name) => WHO[name]).join(" or ");
  return (
    <div className="grid gap-4 pb-5 lg:grid-cols-2 lg:gap-x-8">
      <div className="min-w-0">
        <p className="max-w-[68ch] text-ink-2"><Said text={operation.description} /></p>
        <p className="mt-1 text-[12.5px] text-ink-3">{who ? `Needs ${who}. ` : ""}In generated clients: <span className="font-mono">{operation.operationId}</span></p>
        {operation.parameters.length > 0 && <h3 className={`${LABEL} mt-4 mb-1`}>Parameters</h3>}
        <ul>
          {operation.parameters.map((one) => (
            <Line key={one.in + one.name} name={one.name} required={one.required} text={one.description}
              type={`${typeOf(document, one.schema)}, in the ${one.in}`} limits={limitsOf(document, one.schema)} />
          ))}
        </ul>
        {body && <h3 className={`${LABEL} mt-4 mb-1`}>Body <span className="font-normal text-ink-3">{body.types.join(", ")}</span></h3>}
        {body && <Fields document={document} schema={body.schema} />}
      </div>
      <div className="min-w-0">
        <div className="mb-1.5 flex items-center"><h3 className={LABEL}>Try it</h3>
          <span className="ml-auto"><CopyButton text={curl} what={operation.operationId} className="rounded border border-line-strong bg-surface px-2 py-0.5 text-[12.5px] text-ink-2 hover:bg-sunken hover:text-ink" /></span>
        </div>
        <pre tabIndex={0} aria-label={`Request ${operation.operationId}`} className={CODE}>{curl}</pre>
        <h3 className={`${LABEL} mt-4 mb-1`}>Answers</h3>
        <Answers document={document} responses={operation.responses} />
      </div>
    </div>
  );
}

function Operation({ document, operation, origin, open, onToggle }) {
  const row = useRef(null);
  useEffect(() => {
    if (open && window.location.hash === `#${operation.operationId}`) row.current?.scrollIntoView({ block: "nearest" });
  }, []);
  return (
    <details ref={row} id={operation.operationId} open={open} className="scroll-mt-4 border-t border-line"
      onToggle={(event) => event.target === event.currentTarget && onToggle(operation.operationId, event.currentTarget.open)}>
      <summary className="flex items-baseline gap-3 rounded py-2 hover:bg-sunken">
        <Method method={operation.method} />
        <span className="flex min-w-0 flex-1 flex-col gap-x-4 sm:flex-row sm:items-baseline">
          <span className="font-mono text-[13px] break-all">{operation.path}</span>
          <span className="text-[13px] text-ink-2 sm:ml-auto sm:text-right">{operation.summary}</span>
        </span>
      </summary>
      {open && <Inside document={document} operation={operation} origin={origin} />}
    </details>
  );
}

// The page of the API: everything is read from the document that programs read, in the browser; nothing is sent while one searches.
export function ApiReference({ source = "/openapi.json", className, ref: _ref }) {
  const [document, setDocument] = useState(null);
  const [failed, setFailed] = useState(false);
  const [text, setText] = useState("");
  const [opened, setOpened] = useState(() => new Set());
  const [origin, setOrigin] = useState("http://localhost:3000");
  const field = useRef(null);
  useEffect(() => {
    setOrigin(window.location.origin);
    setText(new URLSearchParams(window.location.search).get("q") ?? "");
    if (window.location.hash) setOpened(new Set([decodeURIComponent(window.location.hash.slice(1))]));
    fetch(source).then((answer) => (answer.ok ? answer.json() : Promise.reject())).then(setDocument).catch(() => setFailed(true));
    const onKey = (event) => {
      if (event.key !== "/" || isTyping(event) || event.metaKey || event.ctrlKey || window.document.querySelector("dialog[open]")) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [source]);
  const groups = useMemo(() => (document ? groupsOf(document) : []), [document]);
  const shown = useMemo(() => matching(groups, text), [groups, text]);
  const count = (list) => list.reduce((sum, group) => sum + group.operations.length, 0);
  const search = (value) => {
    setText(value);
    const address = new URL(window.location.href);
    value ? address.searchParams.set("q", value) : address.searchParams.delete("q");
    window.history.replaceState(window.history.state, "", address);
  };
  const toggle = (id, open) => {
    setOpened((before) => {
      if (before.has(id) === open) return before;
      const now = new Set(before);
      open ? now.add(id) : now.delete(id);
      return now;
    });
    if (open) window.history.replaceState(window.history.state, "", `#${id}`);
  };
  if (failed) return <p role="alert" className="mt-6 text-bad">The document could not be loaded: reload the page, or ask for {source}.</p>;
  if (!document) return <div aria-busy="true" className="mt-6 h-[1200px] text-ink-3">Reading the document …</div>;
  const found = count(shown), all = count(groups);
  return (
    <div className={className}>
      <div className="mt-4 flex flex-wrap items-center gap-x-4 gap-y-2">
        <input ref={field} type="search" data-shortcut="/" value={text} aria-label="Find in the API" placeholder="Path, word or parameter" data-testid="api-search"
          className="h-8 w-full rounded border border-line-strong bg-surface px-2.5 text-[13px] text-ink sm:w-[300px]"
          onChange={(event) => search(event.target.value)} onKeyDown={(event) => event.key === "Escape" && search("")} />
        <p role="status" className="text-[13px] text-ink-2">
          {text ? `${found} of ${all} operations` : `${all} operations in ${groups.length} groups`} · version {document.info.version}
        </p>
      </div>
      <div className="mt-5 gap-10 lg:flex">
        <nav aria-label="Groups" className="mb-5 lg:sticky lg:top-4 lg:w-[170px] lg:shrink-0 lg:self-start">
          <ul className="flex flex-wrap gap-x-3 gap-y-1 text-[13px] lg:flex-col">
            {shown.map((group) => (
              <li key={group.name}><a href={`#group-${group.name}`} className="text-ink-2 hover:text-ink">{group.name} <span className="num text-ink-3">{group.operations.length}</span></a></li>
            ))}
          </ul>
        </nav>
        <div className="min-w-0 grow">
          {shown.map((group) => (
            <section key={group.name} id={`group-${group.name}`} aria-labelledby={`heading-${group.name}`} className="mb-9 scroll-mt-4">
              <h2 id={`heading-${group.name}`} className="text-[15px] font-semibold tracking-[-.01em]">{group.name}</h2>
              <p className="mb-2 text-[13px] text-ink-2"><Said text={group.description} /></p>
              {group.operations.map((operation) => (
                <Operation key={operation.operationId} document={document} operation={operation} origin={origin}
                  open={opened.has(operation.operationId)} onToggle={toggle} />
              ))}
            </section>
          ))}
          {!shown.length && <p className="text-ink-2">Nothing in the API has all of these words.</p>}
        </div>
      </div>
    </div>
  );
}
