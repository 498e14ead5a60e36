;; An output of 31 MiB, which it has the memory for.
(module
  (import "tocsin:host/env" "output_write" (func $out (param i32 i32)))
  (memory (export "memory") 512)
  (func (export "render") (result i32) (call $out (i32.const 0) (i32.const 0x1f00000)) (i32.const 0)))
