// An endpoint for tocsin that sends alerts as push messages of ntfy (https://docs.ntfy.sh/publish/). The module is two pure
// functions and a third to test a configuration; the host sends the requests.
import { Host, Memory } from "@extism/as-pdk";
import { error_set } from "@extism/as-pdk/lib/env";
import { Json, Kind, parse, quote } from "./json";

const OK: i32 = 0, FAILED: i32 = 1;

// abort is what a failed check of the language's runtime calls.
function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  unreachable();
}

function fail(why: string): i32 {
  error_set(Memory.allocateString(why).offset);
  return FAILED;
}

// output returns a text. (Host.outputString of @extism/as-pdk 1.0.0 cuts what is not ASCII.)
function output(json: string): i32 {
  Host.output(Uint8Array.wrap(String.UTF8.encode(json)));
  return OK;
}

// input reads the message of the call; null if it is no object.
function input(): Json | null {
  const v = parse(Host.inputString());
  return v != null && v.kind == Kind.Object ? v : null;
}

// base is the server's address without slashes at its end.
function base(message: Json): string {
  const url = message.object("endpoint").string("server_url");
  let n = url.length;
  while (n > 0 && url.charAt(n - 1) == "/") n--;
  return url.substring(0, n);
}

function header(name: string, value: string): string {
  return '{"name":' + quote(name) + ',"value":' + quote(value) + "}";
}

// login is the header with the access token, if there is one. The token is a placeholder that the host replaces.
function login(message: Json): string[] {
  const token = message.object("endpoint").string("access_token");
  return token == "" ? [] : [header("Authorization", "Bearer " + token)];
}

// priority is a message's importance for ntfy, from 1 to 5.
function priority(alert: Json): i32 {
  if (alert.string("action") == "release") return 2;
  const severity = alert.string("severity");
  if (severity == "emergency" || severity == "alert" || severity == "critical") return 5;
  if (severity == "error") return 4;
  if (severity == "warning" || severity == "notice") return 3;
  return severity == "info" ? 2 : 1;
}

// tag is a message's first tag, which ntfy shows as an emoji.
function tag(alert: Json): string {
  if (alert.string("action") == "release") return "white_check_mark";
  const severity = alert.string("severity");
  if (severity == "emergency" || severity == "alert" || severity == "critical") return "rotating_light";
  return severity == "error" || severity == "warning" ? "warning" : "information_source";
}

// render makes one request of each delivery: the alert's text as the body, the rest in headers.
export function render(): i32 {
  const message = input();
  if (message == null) return fail("the input of render is no JSON object");
  const url = base(message) + "/" + message.object("recipient").string("topic");
  const deliveries = message.get("deliveries");
  const requests: string[] = [];
  for (let i = 0; deliveries != null && i < deliveries.items.length; i++) {
    const d = deliveries.items[i];
    const alert = d.object("alert");
    const category = alert.string("category");
    const headers = [
      header("Title", d.string("subject")),
      header("Priority", priority(alert).toString()),
      header("Tags", tag(alert) + (category == "" ? "" : "," + category)),
    ].concat(login(message));
    const body = d.string("text");
    requests.push(
      '{"deliveries":[' + quote(d.string("id")) + '],"http":{"method":"POST","url":' + quote(url) +
      ',"headers":[' + headers.join(",") + "]" + (body == "" ? "" : ',"body":' + quote(body)) + "}}",
    );
  }
  return output('{"requests":[' + requests.join(",") + "]}");
}

function verdict(outcome: string, reason: string, wait: i64 = 0): i32 {
  return output(
    '{"verdicts":[{"outcome":' + quote(outcome) + (wait > 0 ? ',"retry_after_ms":' + (wait * 1000).toString() : "") +
    (reason == "" ? "" : ',"reason":' + quote(reason)) + "}]}",
  );
}

// seconds reads a Retry-After header that is a number; 0 if it is anything else.
function seconds(text: string): i64 {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) < 0x30 || text.charCodeAt(i) > 0x39) return 0;
  }
  return text == "" || text.length > 10 ? 0 : I64.parseInt(text);
}

// classify says what an answer means. Statuses from 200 to 299 do not come here: the manifest knows them.
export function classify(): i32 {
  const message = input();
  if (message == null) return fail("the input of classify is no JSON object");
  const response = message.get("response");
  if (response == null || response.kind != Kind.Object) {
    const why = message.object("error").string("message");
    return verdict("retry", why == "" ? "there was no answer" : why);
  }
  const number = response.get("status");
  const status = number != null && number.kind == Kind.Number ? I32.parseInt(number.text) : 0;
  if (status >= 200 && status <= 299) return verdict("delivered", "");

  // The body of a failure is {"code": 40101, "http": 401, "error": "unauthorized", ...}.
  let reason = "ntfy answered " + status.toString();
  const body = parse(response.string("body"));
  if (body != null && body.string("error") != "") reason += ": " + body.string("error");
  if (status == 429 || status >= 500) return verdict("retry", reason, seconds(response.object("headers").string("retry-after")));
  if (status == 401 || status == 403) return verdict("endpoint_broken", reason + "; check access_token and what it may write to");
  return verdict(status == 400 || status == 413 ? "bad_payload" : "rejected", reason);
}

function step(message: Json, title: string, path: string): string {
  const headers = login(message);
  return '{"title":' + quote(title) + ',"request":{"deliveries":[],"http":{"method":"GET","url":' + quote(base(message) + path) +
    (headers.length > 0 ? ',"headers":[' + headers.join(",") + "]" : "") + "}}}";
}

// probe tests a configuration without a message: whether the server is well, and whether it knows the token.
export function probe(): i32 {
  const message = input();
  if (message == null) return fail("the input of probe is no JSON object");
  const steps = [step(message, "Is the server well?", "/v1/health")];
  const topic = message.object("recipient").string("topic");
  if (topic != "") steps.push(step(message, "Is the topic open to the token?", "/" + topic + "/auth"));
  return output('{"steps":[' + steps.join(",") + "]}");
}
