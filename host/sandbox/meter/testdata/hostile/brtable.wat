;; A loop that is made of branches by a table.
(module
  (func (export "run") (local i32)
    (loop $top
      (block $a (block $b (block $c
        (br_table $a $b $c $top (i32.and (local.get 0) (i32.const 3))))
        (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br $top))
        (local.set 0 (i32.add (local.get 0) (i32.const 3))) (br $top))
      (local.set 0 (i32.add (local.get 0) (i32.const 5))) (br $top))))
