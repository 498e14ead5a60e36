;; A module of an interface that never was, for TestOtherMajor: send gets one text and answers with the body of a request;
;; judge gets a status and answers y or n; both are found by other names than those of endpoint 1.
(module
  (import "extism:host/env" "input_offset" (func $offset (result i64)))
  (import "extism:host/env" "input_length" (func $length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $load (param i64) (result i32)))
  (import "extism:host/env" "output_set" (func $set (param i64 i64)))
  (import "tocsin:host/env" "output_write" (func $write (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "yn")
  (func (export "send") (result i32)
    (if (i32.eq (call $load (i64.const 0)) (i32.const 33)) (then unreachable)) ;; of "!..." it crashes
    (call $set (call $offset) (call $length))
    (i32.const 0))
  (func (export "judge") (result i32)
    (call $write (i32.ne (call $load (i64.const 0)) (i32.const 50)) (i32.const 1))
    (i32.const 0)))
