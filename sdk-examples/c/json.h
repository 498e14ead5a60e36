/* A small JSON reader and writer (RFC 8259) on memory that is handed out once and taken back as a whole, which is all that
 * a module needs whose calls keep nothing. Input is valid UTF-8, as the host gives it. */
#ifndef JSON_H
#define JSON_H

#include "extism-pdk.h"

/* Memory. */

extern u8 __heap_base; /* the linker's: where the module's own data ends */
static u32 mem_next;

static void mem_reset(void) { mem_next = (u32)&__heap_base; }

/* mem_take gives n bytes, with 8 more behind them, and traps when the host gives no more pages. */
static void *mem_take(u32 n) {
  u32 at = (mem_next + 7) & ~7u;
  u64 end = (u64)at + n + 8;
  u64 have = (u64)__builtin_wasm_memory_size(0) << 16;
  if (end > have) {
    u64 pages = ((end - have) >> 16) + 1;
    if (pages > 65535 || __builtin_wasm_memory_grow(0, (u32)pages) == (u32)-1) __builtin_trap();
  }
  mem_next = (u32)end;
  return (void *)at;
}

/* Texts are counted, not ended by a zero. */

typedef struct {
  const char *p;
  u32 n;
} text;

/* T makes a text of a literal. */
#define T(literal) ((text){literal, sizeof(literal) - 1})

static int same(text a, text b) {
  if (a.n != b.n) return 0;
  for (u32 i = 0; i < a.n; i++)
    if (a.p[i] != b.p[i]) return 0;
  return 1;
}

/* Writing. A buffer grows by doubling. */

typedef struct {
  char *p;
  u32 n, cap;
} buffer;

static void put(buffer *b, text t) {
  if (t.n > b->cap - b->n) {
    u32 cap = (b->n + t.n) * 2 + 256;
    char *p = mem_take(cap);
    __builtin_memcpy(p, b->p, b->n);
    b->p = p, b->cap = cap;
  }
  __builtin_memcpy(b->p + b->n, t.p, t.n);
  b->n += t.n;
}

static void put_number(buffer *b, u64 v) {
  char d[20];
  u32 i = sizeof d;
  do d[--i] = (char)('0' + v % 10);
  while (v /= 10);
  put(b, (text){d + i, sizeof d - i});
}

/* put_string writes a text as a JSON string. */
static void put_string(buffer *b, text t) {
  u32 from = 0;
  put(b, T("\""));
  for (u32 i = 0; i < t.n; i++) {
    u8 c = (u8)t.p[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    put(b, (text){t.p + from, i - from});
    from = i + 1;
    char e[6] = {'\\', 'u', '0', '0', (char)('0' + (c >> 4)), "0123456789abcdef"[c & 15]};
    if (c >= 0x20) {
      e[1] = (char)c;
      put(b, (text){e, 2});
    } else {
      put(b, (text){e, 6});
    }
  }
  put(b, (text){t.p + from, t.n - from});
  put(b, T("\""));
}

/* Reading. */

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_type;

typedef struct json json;
struct json {
  json_type type;
  text key;  /* of a member of an object */
  text str;  /* a string, or the digits of a number */
  json *first, *next;
};

typedef struct {
  const char *p, *end;
} reader;

static void blank(reader *r) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r')) r->p++;
}

static int word(reader *r, text w) {
  if ((u32)(r->end - r->p) < w.n || !same((text){r->p, w.n}, w)) return 0;
  r->p += w.n;
  return 1;
}

/* hex4 reads the four digits of \u; -1 if they are none. */
static int hex4(reader *r) {
  int v = 0;
  if (r->end - r->p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = *r->p++;
    int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (d < 0) return -1;
    v = v << 4 | d;
  }
  return v;
}

static char *utf8(char *o, u32 c) {
  if (c < 0x80) {
    *o++ = (char)c;
  } else if (c < 0x800) {
    *o++ = (char)(0xc0 | c >> 6);
    *o++ = (char)(0x80 | (c & 63));
  } else {
    if (c < 0x10000) {
      *o++ = (char)(0xe0 | c >> 12);
    } else {
      *o++ = (char)(0xf0 | c >> 18);
      *o++ = (char)(0x80 | (c >> 12 & 63));
    }
    *o++ = (char)(0x80 | (c >> 6 & 63));
    *o++ = (char)(0x80 | (c & 63));
  }
  return o;
}

static int read_string(reader *r, text *t) {
  if (!word(r, T("\""))) return 0;
  const char *from = r->p;
  while (r->p < r->end && *r->p != '"' && *r->p != '\\') r->p++;
  *t = (text){from, (u32)(r->p - from)};
  if (word(r, T("\""))) return 1; /* nothing is escaped: no copy is needed */
  /* What is decoded is never longer than what it is decoded from. */
  const char *last = r->p;
  while (last < r->end && *last != '"') last += *last == '\\' ? 2 : 1;
  if (last >= r->end) return 0;
  char *start = mem_take((u32)(last - from)), *o = start + t->n;
  __builtin_memcpy(start, from, t->n);
  while (*r->p != '"') {
    char c = *r->p++;
    if (c != '\\') {
      *o++ = c;
      continue;
    }
    switch (c = *r->p++) {
      case 'b': *o++ = '\b'; break;
      case 'f': *o++ = '\f'; break;
      case 'n': *o++ = '\n'; break;
      case 'r': *o++ = '\r'; break;
      case 't': *o++ = '\t'; break;
      case '"': case '\\': case '/': *o++ = c; break;
      case 'u': {
        int u = hex4(r);
        if (u < 0) return 0;
        if (u >= 0xd800 && u <= 0xdfff) { /* half of a pair; alone it is no character */
          reader ahead = *r;
          int low = u <= 0xdbff && word(&ahead, T("\\u")) ? hex4(&ahead) : -1;
          if (low >= 0xdc00 && low <= 0xdfff) {
            *r = ahead;
            u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
          } else {
            u = 0xfffd;
          }
        }
        o = utf8(o, (u32)u);
        break;
      }
      default: return 0;
    }
  }
  r->p++;
  *t = (text){start, (u32)(o - start)};
  return 1;
}

static json *read_value(reader *r, int depth) {
  json *v = mem_take(sizeof *v);
  *v = (json){0};
  blank(r);
  if (r->p == r->end || depth > 64) return 0;
  char c = *r->p;
  if (c == '{' || c == '[') {
    char close = c == '{' ? '}' : ']';
    json **tail = &v->first;
    v->type = c == '{' ? JSON_OBJECT : JSON_ARRAY;
    r->p++;
    blank(r);
    if (r->p < r->end && *r->p == close) return r->p++, v;
    for (;;) {
      text key = {0};
      blank(r);
      if (close == '}') {
        if (!read_string(r, &key)) return 0;
        blank(r);
        if (!word(r, T(":"))) return 0;
      }
      if (!(*tail = read_value(r, depth + 1))) return 0;
      (*tail)->key = key;
      tail = &(*tail)->next;
      blank(r);
      if (r->p == r->end) return 0;
      c = *r->p++;
      if (c == close) return v;
      if (c != ',') return 0;
    }
  }
  if (c == '"') return v->type = JSON_STRING, read_string(r, &v->str) ? v : 0;
  if (word(r, T("null"))) return v;
  if (word(r, T("true"))) return v->type = JSON_TRUE, v;
  if (word(r, T("false"))) return v->type = JSON_FALSE, v;
  v->type = JSON_NUMBER;
  v->str.p = r->p;
  while (r->p < r->end && ((*r->p >= '0' && *r->p <= '9') || *r->p == '-' || *r->p == '+' || *r->p == '.' || (*r->p | 32) == 'e')) r->p++;
  v->str.n = (u32)(r->p - v->str.p);
  return v->str.n ? v : 0;
}

/* json_parse reads one value; 0 if the text is none. */
static json *json_parse(text t) {
  reader r = {t.p, t.p + t.n};
  json *v = read_value(&r, 0);
  blank(&r);
  return r.p == r.end ? v : 0;
}

/* json_get gives a member of an object; 0 if v is none, or has no such member. */
static json *json_get(const json *v, text key) {
  if (!v || v->type != JSON_OBJECT) return 0;
  for (json *m = v->first; m; m = m->next)
    if (same(m->key, key)) return m;
  return 0;
}

/* json_text gives a member that is a string; an empty text if there is none. */
static text json_text(const json *v, text key) {
  json *m = json_get(v, key);
  return m && m->type == JSON_STRING ? m->str : (text){0};
}

/* digits reads a text of decimal digits; -1 if it is anything else. */
static long long digits(text t) {
  long long v = 0;
  if (!t.n || t.n > 10) return -1;
  for (u32 i = 0; i < t.n; i++) {
    if (t.p[i] < '0' || t.p[i] > '9') return -1;
    v = v * 10 + (t.p[i] - '0');
  }
  return v;
}

#endif
