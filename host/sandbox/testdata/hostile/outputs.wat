;; Writes its output again and again, 1 MiB each time.
(module
  (import "tocsin:host/env" "output_write" (func $out (param i32 i32)))
  (memory (export "memory") 16)
  (func (export "render") (result i32) (loop (call $out (i32.const 0) (i32.const 0x100000)) (br 0)) (i32.const 0)))
