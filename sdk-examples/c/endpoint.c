/* An endpoint for tocsin that sends alerts as push messages of ntfy (https://docs.ntfy.sh/publish/). The module is two pure
 * functions and a third to test a configuration; the host sends the requests. */
#include "json.h"

enum { OK = 0, FAILED = 1 };

static int fail(text why) {
  extism_error(why.p, why.n);
  return FAILED;
}

/* input reads the message of the call; 0 if it is no object. */
static json *input(void) {
  mem_reset();
  u32 n = (u32)extism_input_length();
  u8 *p = mem_take(n);
  extism_input(p, n);
  json *in = json_parse((text){(char *)p, n});
  return in && in->type == JSON_OBJECT ? in : 0;
}

/* put_base writes the server's address without slashes at its end, inside a JSON string. */
static void put_base(buffer *b, const json *in) {
  text url = json_text(json_get(in, T("endpoint")), T("server_url"));
  while (url.n && url.p[url.n - 1] == '/') url.n--;
  put_string(b, url);
  b->n--; /* the string goes on */
}

static void put_header(buffer *b, text name, text value) {
  if (b->p[b->n - 1] == '}') put(b, T(","));
  put(b, T("{\"name\":"));
  put_string(b, name);
  put(b, T(",\"value\":"));
  put_string(b, value);
  put(b, T("}"));
}

/* put_login writes the header with the access token, if there is one. The token is a placeholder that the host replaces. */
static void put_login(buffer *b, const json *in) {
  text token = json_text(json_get(in, T("endpoint")), T("access_token"));
  if (!token.n) return;
  buffer value = {0};
  put(&value, T("Bearer "));
  put(&value, token);
  put_header(b, T("Authorization"), (text){value.p, value.n});
}

/* look gives a message's priority, from 1 to 5, and its first tag, which ntfy shows as an emoji. */
static text look(const json *alert, text *priority) {
  static const struct { text severity, priority, tag; } levels[] = {
      {T("emergency"), T("5"), T("rotating_light")}, {T("alert"), T("5"), T("rotating_light")},
      {T("critical"), T("5"), T("rotating_light")},  {T("error"), T("4"), T("warning")},
      {T("warning"), T("3"), T("warning")},          {T("notice"), T("3"), T("information_source")},
      {T("info"), T("2"), T("information_source")},
  };
  if (same(json_text(alert, T("action")), T("release"))) return *priority = T("2"), T("white_check_mark");
  text severity = json_text(alert, T("severity"));
  for (u32 i = 0; i < sizeof levels / sizeof *levels; i++)
    if (same(severity, levels[i].severity)) return *priority = levels[i].priority, levels[i].tag;
  return *priority = T("1"), T("information_source");
}

/* render makes one request of each delivery: the alert's text as the body, the rest in headers. */
EXTISM_EXPORT("render") int render(void) {
  json *in = input();
  if (!in) return fail(T("the input of render is no JSON object"));
  json *deliveries = json_get(in, T("deliveries"));
  text topic = json_text(json_get(in, T("recipient")), T("topic"));
  buffer b = {0};
  put(&b, T("{\"requests\":["));
  for (json *d = deliveries ? deliveries->first : 0; d; d = d->next) {
    json *alert = json_get(d, T("alert"));
    text category = json_text(alert, T("category")), priority;
    buffer tags = {0};
    put(&tags, look(alert, &priority));
    if (category.n) put(&tags, T(",")), put(&tags, category);
    if (d != deliveries->first) put(&b, T(","));
    put(&b, T("{\"deliveries\":["));
    put_string(&b, json_text(d, T("id")));
    put(&b, T("],\"http\":{\"method\":\"POST\",\"url\":"));
    put_base(&b, in);
    put(&b, T("/"));
    put(&b, topic); /* the schema takes letters, digits, - and _ only */
    put(&b, T("\",\"headers\":["));
    put_header(&b, T("Title"), json_text(d, T("subject")));
    put_header(&b, T("Priority"), priority);
    put_header(&b, T("Tags"), (text){tags.p, tags.n});
    put_login(&b, in);
    put(&b, T("]"));
    text body = json_text(d, T("text"));
    if (body.n) put(&b, T(",\"body\":")), put_string(&b, body);
    put(&b, T("}}"));
  }
  put(&b, T("]}"));
  extism_output(b.p, b.n);
  return OK;
}

static int verdict(text outcome, text reason, long long wait) {
  buffer b = {0};
  put(&b, T("{\"verdicts\":[{\"outcome\":"));
  put_string(&b, outcome);
  if (wait > 0) put(&b, T(",\"retry_after_ms\":")), put_number(&b, (u64)wait * 1000);
  if (reason.n) put(&b, T(",\"reason\":")), put_string(&b, reason);
  put(&b, T("}]}"));
  extism_output(b.p, b.n);
  return OK;
}

/* classify says what an answer means. Statuses from 200 to 299 do not come here: the manifest knows them. */
EXTISM_EXPORT("classify") int classify(void) {
  json *in = input();
  if (!in) return fail(T("the input of classify is no JSON object"));
  json *response = json_get(in, T("response"));
  if (!response || response->type != JSON_OBJECT) {
    text why = json_text(json_get(in, T("error")), T("message"));
    return verdict(T("retry"), why.n ? why : T("there was no answer"), 0);
  }
  json *number = json_get(response, T("status"));
  long long status = number && number->type == JSON_NUMBER ? digits(number->str) : 0;
  if (status >= 200 && status <= 299) return verdict(T("delivered"), (text){0}, 0);

  /* The body of a failure is {"code": 40101, "http": 401, "error": "unauthorized", ...}. */
  text error = json_text(json_parse(json_text(response, T("body"))), T("error"));
  buffer b = {0};
  put(&b, T("ntfy answered "));
  put_number(&b, status > 0 ? (u64)status : 0);
  if (error.n) put(&b, T(": ")), put(&b, error);
  if (status == 401 || status == 403) {
    put(&b, T("; check access_token and what it may write to"));
    return verdict(T("endpoint_broken"), (text){b.p, b.n}, 0);
  }
  text reason = {b.p, b.n};
  if (status == 429 || status >= 500)
    return verdict(T("retry"), reason, digits(json_text(json_get(response, T("headers")), T("retry-after"))));
  if (status == 400 || status == 413) return verdict(T("bad_payload"), reason, 0);
  return verdict(T("rejected"), reason, 0);
}

static void put_step(buffer *b, const json *in, text title, text topic, text path) {
  put(b, T("{\"title\":"));
  put_string(b, title);
  put(b, T(",\"request\":{\"deliveries\":[],\"http\":{\"method\":\"GET\",\"url\":"));
  put_base(b, in);
  if (topic.n) put(b, T("/")), put(b, topic);
  put(b, path);
  put(b, T("\""));
  if (json_text(json_get(in, T("endpoint")), T("access_token")).n) {
    put(b, T(",\"headers\":["));
    put_login(b, in);
    put(b, T("]"));
  }
  put(b, T("}}}"));
}

/* probe tests a configuration without a message: whether the server is well, and whether it knows the token. */
EXTISM_EXPORT("probe") int probe(void) {
  json *in = input();
  if (!in) return fail(T("the input of probe is no JSON object"));
  text topic = json_text(json_get(in, T("recipient")), T("topic"));
  buffer b = {0};
  put(&b, T("{\"steps\":["));
  put_step(&b, in, T("Is the server well?"), (text){0}, T("/v1/health"));
  if (topic.n) {
    put(&b, T(","));
    put_step(&b, in, T("Is the topic open to the token?"), topic, T("/auth"));
  }
  put(&b, T("]}"));
  extism_output(b.p, b.n);
  return OK;
}
