// A small JSON reader and writer (RFC 8259), for the messages of an endpoint. AssemblyScript brings none.

export enum Kind { Null, False, True, Number, String, Array, Object }

// Json is a value. The members of an object and the elements of an array are in items, the members' names in keys.
export class Json {
  text: string = ""; // of a string, or the digits of a number
  keys: string[] = [];
  items: Json[] = [];

  constructor(public kind: Kind) {}

  // get gives a member of an object; null if this is none, or has no such member.
  get(key: string): Json | null {
    if (this.kind != Kind.Object) return null;
    const i = this.keys.indexOf(key);
    return i < 0 ? null : this.items[i];
  }

  // object gives a member that is an object; an empty one if there is none.
  object(key: string): Json {
    const v = this.get(key);
    return v != null && v.kind == Kind.Object ? v : new Json(Kind.Object);
  }

  // string gives a member that is a string; an empty one if there is none.
  string(key: string): string {
    const v = this.get(key);
    return v != null && v.kind == Kind.String ? v.text : "";
  }
}

// parse reads one value; null if the text is none.
export function parse(text: string): Json | null {
  const r = new Reader(text);
  const v = r.value(0);
  r.blank();
  return r.at == text.length ? v : null;
}

// quote writes a text as a JSON string.
export function quote(s: string): string {
  let from = 0;
  const parts = ['"'];
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c >= 0x20 && c != 0x22 && c != 0x5c) continue;
    parts.push(s.substring(from, i));
    from = i + 1;
    parts.push(c >= 0x20 ? "\\" + s.charAt(i) : "\\u00" + (c < 16 ? "0" : "") + c.toString(16));
  }
  parts.push(s.substring(from));
  parts.push('"');
  return parts.join("");
}

class Reader {
  at: i32 = 0;

  constructor(public s: string) {}

  peek(): i32 {
    return this.at < this.s.length ? this.s.charCodeAt(this.at) : -1;
  }

  blank(): void {
    for (let c = this.peek(); c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09; c = this.peek()) this.at++;
  }

  word(w: string): bool {
    if (this.s.substr(this.at, w.length) != w) return false;
    this.at += w.length;
    return true;
  }

  value(depth: i32): Json | null {
    this.blank();
    if (depth > 64) return null;
    switch (this.peek()) {
      case 0x7b:
        return this.list(new Json(Kind.Object), 0x7d, depth);
      case 0x5b:
        return this.list(new Json(Kind.Array), 0x5d, depth);
      case 0x22: {
        const v = new Json(Kind.String);
        const text = this.string();
        if (text == null) return null;
        v.text = text;
        return v;
      }
    }
    if (this.word("null")) return new Json(Kind.Null);
    if (this.word("true")) return new Json(Kind.True);
    if (this.word("false")) return new Json(Kind.False);
    const from = this.at;
    for (let c = this.peek(); (c >= 0x30 && c <= 0x39) || c == 0x2d || c == 0x2b || c == 0x2e || (c | 32) == 0x65; c = this.peek()) {
      this.at++;
    }
    if (this.at == from) return null;
    const n = new Json(Kind.Number);
    n.text = this.s.substring(from, this.at);
    return n;
  }

  list(v: Json, close: i32, depth: i32): Json | null {
    this.at++;
    this.blank();
    if (this.peek() == close) {
      this.at++;
      return v;
    }
    while (true) {
      this.blank();
      if (v.kind == Kind.Object) {
        const key = this.string();
        if (key == null) return null;
        v.keys.push(key);
        this.blank();
        if (!this.word(":")) return null;
      }
      const item = this.value(depth + 1);
      if (item == null) return null;
      v.items.push(item);
      this.blank();
      const c = this.peek();
      this.at++;
      if (c == close) return v;
      if (c != 0x2c) return null;
    }
  }

  string(): string | null {
    if (!this.word('"')) return null;
    let from = this.at;
    const parts: string[] = [];
    for (let c = this.peek(); c != 0x22; c = this.peek()) {
      if (c < 0) return null;
      if (c != 0x5c) {
        this.at++;
        continue;
      }
      parts.push(this.s.substring(from, this.at));
      this.at++;
      const e = this.peek();
      this.at++;
      switch (e) {
        case 0x22: case 0x5c: case 0x2f: parts.push(String.fromCharCode(e)); break;
        case 0x62: parts.push("\b"); break;
        case 0x66: parts.push("\f"); break;
        case 0x6e: parts.push("\n"); break;
        case 0x72: parts.push("\r"); break;
        case 0x74: parts.push("\t"); break;
        case 0x75: {
          const digits = this.s.substr(this.at, 4);
          for (let i = 0; i < 4; i++) {
            const d = i < digits.length ? digits.charCodeAt(i) : 0;
            if (!((d >= 0x30 && d <= 0x39) || ((d | 32) >= 0x61 && (d | 32) <= 0x66))) return null;
          }
          this.at += 4;
          parts.push(String.fromCharCode(<i32>parseInt(digits, 16)));
          break;
        }
        default:
          return null;
      }
      from = this.at;
    }
    parts.push(this.s.substring(from, this.at));
    this.at++;
    return parts.join("");
  }
}
