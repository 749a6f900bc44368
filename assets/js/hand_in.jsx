import { useRef, useState } from "react";

// A file goes to the API by itself, never through the websocket; the page is told what the API answered. First it is only looked at:
// what was looked at is what is handed in, so another file, name or wish starts again.
export function HandIn({ base = "", names, ready = false, mayForce = false, onPreview, onTaken, onRefused, onAnother, ref: _ref }) {
  const form = useRef(null), fileField = useRef(null), nameField = useRef(null);
  const [busy, setBusy] = useState("");
  const [said, setSaid] = useState("");
  const send = async (dryRun) => {
    const file = fileField.current.files[0], name = nameField.current.value.trim();
    if (!file) {
      setSaid("Choose a file first.");
      return fileField.current.focus();
    }
    if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name)) {
      setSaid("A source's name is made of small letters, digits, dots, dashes and underscores.");
      return nameField.current.focus();
    }
    setSaid("");
    setBusy(dryRun ? "Reading the list …" : "Handing the list in …");
    const force = form.current.elements.force?.checked ? "&force=true" : "";
    try {
      const answer = await fetch(`${base}/admin/ingestion/upload?name=${encodeURIComponent(name)}&dry_run=${dryRun}${force}`, {
        method: "POST",
        credentials: base ? "include" : "same-origin",
        headers: { "Content-Type": "application/octet-stream" },
        body: file,
      });
      const body = await answer.json();
      if (!answer.ok) onRefused?.(body?.error?.message ?? `The server answers ${answer.status}.`);
      else if (dryRun) onPreview?.(body);
      else {
        form.current.reset();
        onTaken?.(body);
      }
    } catch {
      onRefused?.("The file could not be read or sent. Has it changed since it was chosen, or is the server away?");
    }
    setBusy("");
  };
  const another = () => {
    setSaid("");
    const file = fileField.current.files[0];
    if (file && !nameField.current.value) {
      nameField.current.value = file.name.replace(/\.[^.]*$/, "").toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 63);
    }
    if (ready) onAnother?.();
  };
  const field = "h-9 w-full rounded border border-line-strong bg-surface px-2.5 text-ink";
  const look = "inline-flex h-8 items-center rounded border px-3 font-medium disabled:opacity-50 ";
  const plain = look + "border-line-strong bg-surface hover:bg-sunken", primary = look + "border-accent bg-accent text-on-accent hover:opacity-90";
  return (
    <form
      ref={form}
      className="grid gap-3 sm:grid-cols-2"
      onSubmit={(event) => {
        event.preventDefault();
        send(true);
      }}
    >
      <div className="min-w-0">
        <label htmlFor="list" className="mb-1 block text-[13px] font-medium">CSV, YAML or JSON</label>
        <input
          id="list"
          ref={fileField}
          type="file"
          accept=".csv,.yaml,.yml,.json,text/csv,application/json,application/yaml"
          className={field + " py-1.5 text-[13px] file:mr-2 file:border-0 file:bg-transparent file:font-medium file:text-ink-2"}
          onChange={another}
          data-testid="list"
        />
      </div>
      <div className="min-w-0">
        <label htmlFor="source" className="mb-1 block text-[13px] font-medium">Name of the source</label>
        <input
          id="source"
          ref={nameField}
          list="sources-known"
          maxLength={63}
          autoComplete="off"
          spellCheck={false}
          placeholder="ours"
          aria-describedby="source-hint"
          className={field}
          onInput={another}
          data-testid="source"
        />
        <datalist id="sources-known">{(names ?? []).map((name) => <option key={name} value={name} />)}</datalist>
      </div>
      <p id="source-hint" className="text-[12.5px] text-ink-3 sm:col-span-2">
        It replaces what that source said before. Under the name of a public list it stands for that list.
      </p>
      {mayForce && (
        <label className="flex items-center gap-2 text-ink-2 sm:col-span-2">
          <input type="checkbox" name="force" className="box" onChange={another} data-testid="force" />
          It is right: take it although it was refused
        </label>
      )}
      <div className="flex flex-wrap items-center gap-3 sm:col-span-2">
        <button type="submit" disabled={!!busy} className={ready ? plain : primary} data-testid="preview">See what would change</button>
        {ready && (
          <button type="button" disabled={!!busy} className={primary} onClick={() => send(false)} data-testid="hand-in">Hand it in</button>
        )}
        <span role="status" className={said ? "text-bad" : "text-ink-2"}>{busy || said}</span>
      </div>
    </form>
  );
}
