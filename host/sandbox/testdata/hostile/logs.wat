;; Logs 100 bytes in a loop, for ever.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "log_error" (func $log (param i64)))
  (func (export "render") (result i32) (loop (call $log (call $alloc (i64.const 100))) (br 0)) (i32.const 0)))
