;; Grows, fills and copies a table for ever.
(module
  (table $t 1 funcref)
  (table $u 1 externref)
  (elem $e func $f)
  (func $f)
  (func (export "run")
    (loop
      (drop (table.grow $t (ref.null func) (i32.const 100000)))
      (table.fill $t (i32.const 0) (ref.func $f) (table.size $t))
      (table.copy $t $t (i32.const 0) (i32.const 0) (table.size $t))
      (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))
      (drop (table.grow $u (ref.null extern) (i32.const 1)))
      (br 0)))
  (func (export "size") (result i32) (i32.add (table.size $t) (table.size $u))))
