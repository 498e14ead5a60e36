;; A module that starts, offers everything, and traps whenever it is called.
(module
  (memory (export "memory") 1)
  (func (export "render") (result i32) unreachable)
  (func (export "classify") (result i32) unreachable))
