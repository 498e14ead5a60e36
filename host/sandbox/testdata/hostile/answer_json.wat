;; Its answers are no JSON: one is cut off, the other goes on after its end.
(module
  (import "tocsin:host/env" "output_write" (func $out (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\22requests\22:[{\22deliveries\22:[\22d\22")
  (func (export "render") (result i32) (call $out (i32.const 0) (i32.const 31)) (i32.const 0))
  (data (i32.const 4096) "{\22verdicts\22:[{\22outcome\22:\22delivered\22}]}]")
  (func (export "classify") (result i32) (call $out (i32.const 4096) (i32.const 39)) (i32.const 0)))
