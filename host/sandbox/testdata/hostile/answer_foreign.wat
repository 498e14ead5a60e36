;; Answers for deliveries that it was not given.
(module
  (import "tocsin:host/env" "output_write" (func $out (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\22requests\22:[{\22deliveries\22:[\22d\22,\22e\5cu001b[2J\22],\22http\22:{\22method\22:\22GET\22,\22url\22:\22https://granted.example/\22}}]}")
  (func (export "render") (result i32) (call $out (i32.const 0) (i32.const 105)) (i32.const 0))
  (data (i32.const 4096) "{\22verdicts\22:[{\22outcome\22:\22delivered\22},{\22delivery\22:\22e\5cu001b[2J\22,\22outcome\22:\22delivered\22}]}")
  (func (export "classify") (result i32) (call $out (i32.const 4096) (i32.const 86)) (i32.const 0)))
