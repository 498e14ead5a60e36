;; Fills and copies 16 MiB for ever.
(module
  (memory 256)
  (func (export "run")
    (loop
      (memory.fill (i32.const 0) (i32.const 7) (i32.const 16777216))
      (memory.copy (i32.const 0) (i32.const 8388608) (i32.const 8388608))
      (br 0))))
