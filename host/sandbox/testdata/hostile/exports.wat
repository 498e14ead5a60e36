;; An export with control characters in its name. It works.
(module
  (import "tocsin:host/env" "output_write" (func $out (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "render") (result i32) (call $out (i32.const 0) (i32.const 0)) (i32.const 0))
  (func (export "re\1b[31m\0ander") (result i32) (i32.const 0)))
