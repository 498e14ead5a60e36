;; Copies a data segment for ever.
(module
  (memory 1)
  (data $d "0123456789012345678901234567890123456789")
  (func (export "run")
    (loop (memory.init $d (i32.const 0) (i32.const 0) (i32.const 40)) (br 0))))
