;; No hostile guest but a neighbour: its output is its input.
(module
  (import "extism:host/env" "input_offset" (func $offset (result i64)))
  (import "extism:host/env" "input_length" (func $length (result i64)))
  (import "extism:host/env" "output_set" (func $out (param i64 i64)))
  (func (export "render") (result i32) (call $out (call $offset) (call $length)) (i32.const 0)))
