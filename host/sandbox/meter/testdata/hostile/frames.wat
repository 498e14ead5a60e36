;; Recursion with a large frame: 1600 results of calls wait on the stack while the function calls itself.
(module
  (func $one (result i64) (i64.const 1))
  (func $f
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one) (call $one)
    (call $f)
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
    drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
  )
  (func (export "run") (call $f)))
