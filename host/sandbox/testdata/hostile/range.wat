;; An output that begins in its memory and ends outside.
(module
  (import "tocsin:host/env" "output_write" (func $out (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "render") (result i32) (call $out (i32.const 65500) (i32.const 100)) (i32.const 0)))
