;; Grows the memory for ever, by one page and by nothing.
(module
  (memory (export "memory") 1)
  (func (export "run") (loop (drop (memory.grow (i32.const 1))) (drop (memory.grow (i32.const 0))) (br 0))))
