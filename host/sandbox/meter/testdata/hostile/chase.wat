;; Loads from places all over 32 MiB, each of which depends on the one before: what takes the longest for its fuel.
(module
  (memory 512)
  (func (export "run") (local i32)
    (loop
      (local.set 0
        (i32.add
          (i32.mul (local.get 0) (i32.const 1664525))
          (i32.add (i32.load (i32.and (local.get 0) (i32.const 0x1fffffc))) (i32.const 1013904223))))
      (br 0))))
