;; Its answers are no UTF-8.
(module
  (import "tocsin:host/env" "output_write" (func $out (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\22requests\22:[{\22deliveries\22:[\22d\ff\fe\22]}]}")
  (func (export "render") (result i32) (call $out (i32.const 0) (i32.const 37)) (i32.const 0))
  (data (i32.const 4096) "{\22verdicts\22:[{\22outcome\22:\22delivered\22,\22reason\22:\22\c3\28\22}]}")
  (func (export "classify") (result i32) (call $out (i32.const 4096) (i32.const 52)) (i32.const 0)))
