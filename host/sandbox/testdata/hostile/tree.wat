;; Two calls at each of 60 levels: 2^60 calls, nested by 60 only, and no loop.
(module
  (func $tree (param i32)
    (if (local.get 0) (then
      (call $tree (i32.sub (local.get 0) (i32.const 1)))
      (call $tree (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "render") (result i32) (call $tree (i32.const 60)) (i32.const 0)))
