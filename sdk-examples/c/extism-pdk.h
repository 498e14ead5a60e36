/* The functions of Extism's environment that an endpoint needs, and two calls that move a whole text. No libc: the module
 * is built with -nostdlib. The interface is described in pdk/spec/ABI.md of tocsin and at https://extism.org/docs/concepts/pdk. */
#ifndef EXTISM_PDK_H
#define EXTISM_PDK_H

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXTISM_IMPORT(name) __attribute__((import_module("extism:host/env"), import_name(name)))
#define EXTISM_EXPORT(name) __attribute__((export_name(name)))

EXTISM_IMPORT("input_length") u64 extism_input_length(void);
EXTISM_IMPORT("input_load_u8") u32 extism_input_load_u8(u64 offset);
EXTISM_IMPORT("input_load_u64") u64 extism_input_load_u64(u64 offset);
EXTISM_IMPORT("alloc") u64 extism_alloc(u64 length);
EXTISM_IMPORT("store_u8") void extism_store_u8(u64 offset, u32 value);
EXTISM_IMPORT("store_u64") void extism_store_u64(u64 offset, u64 value);
EXTISM_IMPORT("output_set") void extism_output_set(u64 offset, u64 length);
EXTISM_IMPORT("error_set") void extism_error_set(u64 offset);

/* extism_input copies the first n bytes of the input to p, 8 at a time. */
static void extism_input(u8 *p, u32 n) {
  u32 i = 0;
  for (; i + 8 <= n; i += 8) {
    u64 v = extism_input_load_u64(i);
    __builtin_memcpy(p + i, &v, 8);
  }
  for (; i < n; i++) p[i] = (u8)extism_input_load_u8(i);
}

/* extism_store copies n bytes into a new block of the host and gives its address there. */
static u64 extism_store(const void *p, u32 n) {
  const u8 *b = p;
  u64 at = extism_alloc(n);
  u32 i = 0;
  for (; i + 8 <= n; i += 8) {
    u64 v;
    __builtin_memcpy(&v, b + i, 8);
    extism_store_u64(at + i, v);
  }
  for (; i < n; i++) extism_store_u8(at + i, b[i]);
  return at;
}

static void extism_output(const void *p, u32 n) { extism_output_set(extism_store(p, n), n); }

static void extism_error(const void *p, u32 n) { extism_error_set(extism_store(p, n)); }

#endif
