;; Takes the first secret's placeholder from its input and makes it the name of a header.
(module
  (import "extism:host/env" "input_offset" (func $offset (result i64)))
  (import "extism:host/env" "input_length" (func $length (result i64)))
  (import "extism:host/env" "log_error" (func $log (param i64)))
  (import "tocsin:host/env" "input_read" (func $read (param i32 i32)))
  (import "tocsin:host/env" "output_write" (func $out (param i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "{\22requests\22:[{\22deliveries\22:[\22d\22],\22http\22:{\22method\22:\22POST\22,\22url\22:\22tocsin-secret-00000000000000000000000000000000\22,\22headers\22:[{\22name\22:\22tocsin-secret-00000000000000000000000000000000\22,\22value\22:\22x\22}]}}]}")
  (func (export "render") (result i32) (local $at i32)
    (call $read (i32.const 65536) (i32.const 65536))
    (local.set $at (i32.const 65536))
    (loop ;; to "tocsin-s"; an input without it ends in a trap
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0x732d6e6973636f74)) (then
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br 1))))
    (memory.copy (i32.const 64) (local.get $at) (i32.const 46))
    (memory.copy (i32.const 132) (local.get $at) (i32.const 46))
    (call $out (i32.const 0) (i32.const 197))
    (i32.const 0)))
