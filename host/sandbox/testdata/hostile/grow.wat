;; Grows its memory for ever, and writes to what it got.
(module
  (memory (export "memory") 1)
  (func (export "render") (result i32)
    (loop
      (if (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))
        (then (i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (i32.const 1))))
      (br 0))
    (i32.const 0)))
