;; Blocks and loops with parameters and several results, and a function that returns in every way. "run" never ends.
(module
  (func $pair (export "pair") (param i32 i64) (result i64 i32)
    (if (i32.eqz (local.get 0)) (then (return (i64.const 100) (i32.const 1))))
    (if (i32.eq (local.get 0) (i32.const 1)) (then (br 1 (i64.const 200) (i32.const 2))))
    (local.get 1) (local.get 0)
    (block (param i64 i32) (result i64 i32)
      (br_if 1 (i32.eq (local.get 0) (i32.const 2)))
      (block (br_table 1 2 1 (i64.const 300) (i32.const 3) (i32.sub (local.get 0) (i32.const 3)))))
    )
  (func (export "run")
    (i64.const 1) (i32.const 5)
    (loop (param i64 i32) (drop) (drop) (i32.const 5) (i64.const 2) (call $pair) (br 0))))
