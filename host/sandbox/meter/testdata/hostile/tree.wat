;; Each function calls the next one twice: 2^40 calls, no loop, and a depth of 40.
(module
  (func $tree (export "tree") (param i32)
    (if (local.get 0)
      (then
        (call $tree (i32.sub (local.get 0) (i32.const 1)))
        (call $tree (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "run") (call $tree (i32.const 40))))
