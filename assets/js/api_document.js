// What the page of the API reads out of its OpenAPI document: operations, schemas as people read them, and requests to copy.

const METHODS = ["get", "post", "put", "patch", "delete"];

export const resolve = (document, schema) => {
  let found = schema ?? {};
  for (let depth = 0; found.$ref && depth < 8; depth++)
    found = found.$ref.split("/").slice(1).reduce((part, name) => part?.[name.replaceAll("~1", "/")], document) ?? {};
  return found;
};

// Groups in the order of the document's tags, each with its operations by path.
export const groupsOf = (document) => {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => methods[method]).map((method) => {
      const operation = methods[method];
      const words = [method, path, operation.operationId, operation.summary, operation.description, ...(operation.tags ?? [])];
      const parameters = (operation.parameters ?? []).map((parameter) => resolve(document, parameter));
      return {
        ...operation, path, method, parameters,
        words: [...words, ...parameters.map((parameter) => parameter.name)].join(" ").toLowerCase(),
      };
    }),
  );
  return (document.tags ?? [])
    .map((tag) => ({ ...tag, operations: operations.filter((operation) => operation.tags?.[0] === tag.name) }))
    .filter((tag) => tag.operations.length);
};

// Every word that was typed has to occur somewhere.
export const matching = (groups, text) => {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return groups
    .map((group) => ({ ...group, operations: group.operations.filter((one) => words.every((word) => one.words.includes(word))) }))
    .filter((group) => group.operations.length);
};

const nameOf = (schema) => schema?.$ref?.split("/").pop();

// A schema's type in a few words: `text`, `whole number or null`, `list of OfferRow`.
export const typeOf = (document, schema, depth = 0) => {
  const found = resolve(document, schema);
  const choices = found.anyOf ?? found.oneOf;
  if (choices && depth < 4) return [...new Set(choices.map((choice) => typeOf(document, choice, depth + 1)))].join(" or ");
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.enum) return found.enum.length > 6 ? `one of ${found.enum.length} words` : found.enum.map((word) => JSON.stringify(word)).join(" or ");
  const kinds = [found.type ?? (found.properties ? "object" : "anything")].flat();
  return kinds
    .map((kind) => {
      if (kind === "array") return depth < 4 && found.items ? `list of ${typeOf(document, found.items, depth + 1)}` : "list";
      if (kind === "string") return { date: "day", "date-time": "instant", binary: "file" }[found.format] ?? "text";
      if (kind === "object") return nameOf(schema) ?? found.title ?? "object";
      return { integer: "whole number", boolean: "true or false" }[kind] ?? kind;
    })
    .join(" or ");
};

// What can be opened below a field: the object that it is, that it lists or that it may be.
export const innerOf = (document, schema) => {
  const found = resolve(document, schema);
  if (found.properties) return found;
  for (const choice of [found.items, ...(found.anyOf ?? found.oneOf ?? [])]) {
    if (!choice) continue;
    const inner = innerOf(document, choice);
    if (inner) return inner;
  }
  return null;
};

export const limitsOf = (document, schema) => {
  const found = resolve(document, schema);
  const said = [];
  if (found.default !== undefined && found.default !== null && found.default !== "") said.push(`${JSON.stringify(found.default)} if not given`);
  if (found.minimum !== undefined) said.push(`at least ${found.minimum}`);
  if (found.maximum !== undefined) said.push(`at most ${found.maximum}`);
  if (found.maxLength !== undefined) said.push(`at most ${found.maxLength} characters`);
  if (found.enum?.length > 6) said.push(found.enum.join(", "));
  return said.join("; ");
};

// The body that an operation shows as its example, and its media type.
export const bodyOf = (document, operation) => {
  const content = Object.entries(resolve(document, operation.requestBody).content ?? {});
  if (!content.length) return null;
  const [type, media] = content.find(([kind]) => kind === "application/json") ?? content[0];
  const schema = resolve(document, media.schema);
  const first = (values) => (Array.isArray(values) ? values[0] : Object.values(values ?? {})[0]?.value);
  const example = media.example ?? first(media.examples) ?? first(media.schema?.examples) ?? schema.example ?? first(schema.examples);
  return { type, schema: media.schema, example, types: content.map(([kind]) => kind) };
};

const exampleOf = (document, parameter) =>
  parameter.example ?? Object.values(parameter.examples ?? {})[0]?.value ?? resolve(document, parameter.schema).examples?.[0];

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export const curlOf = (document, operation, origin) => {
  let path = operation.path;
  const query = [];
  for (const parameter of operation.parameters) {
    const value = exampleOf(document, parameter);
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURI(String(value ?? parameter.name.toUpperCase())));
    else if (parameter.in === "query" && parameter.required) query.push(`${parameter.name}=${encodeURIComponent(String(value ?? ""))}`);
  }
  const lines = [`curl${operation.method === "get" ? "" : ` -X ${operation.method.toUpperCase()}`} ${quoted(origin + path + (query.length ? `?${query.join("&")}` : ""))}`];
  const needs = (operation.security ?? []).flatMap((one) => Object.keys(one));
  if (needs.includes("token")) lines.push('-H "Authorization: Bearer $BOURSE_TOKEN"');
  else if (needs.includes("key")) lines.push('-H "Authorization: Bearer $BOURSE_KEY"');
  else if (needs.includes("session")) lines.push('-b "__Host-bourse=$SESSION"');
  const body = bodyOf(document, operation);
  if (body?.type.startsWith("multipart/")) lines.push("-F file=@FILE");
  else if (body) {
    lines.push(`-H ${quoted(`content-type: ${body.type}`)}`);
    if (body.example !== undefined) lines.push(`-d ${quoted(typeof body.example === "string" ? body.example : JSON.stringify(body.example, null, 2))}`);
  }
  return lines.join(" \\\n  ");
};
