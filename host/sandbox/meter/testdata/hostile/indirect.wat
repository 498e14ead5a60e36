;; Recursion without end through a table, between two functions.
(module
  (type $t (func))
  (table 2 2 funcref)
  (elem (i32.const 0) $a $b)
  (func $a (call_indirect (type $t) (i32.const 1)))
  (func $b (call_indirect (type $t) (i32.const 0)))
  (func (export "run") (call $a)))
